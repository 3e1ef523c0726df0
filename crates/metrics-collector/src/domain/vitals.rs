//! Web Vitals: which metrics they are and when they are good.
//!
//! Limits from Google's <https://web.dev/articles/vitals>. The contract counts a value on a limit as the worse one.

/// A measure of how a page feels to its visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vital {
    /// Largest Contentful Paint, milliseconds.
    Lcp,
    /// Interaction to Next Paint, milliseconds.
    Inp,
    /// Cumulative Layout Shift, no unit.
    Cls,
    /// First Contentful Paint, milliseconds.
    Fcp,
    /// Time to First Byte, milliseconds.
    Ttfb,
}

impl Vital {
    /// All of them; the contract's three first.
    pub(crate) const ALL: [Self; 5] = [Self::Lcp, Self::Inp, Self::Cls, Self::Fcp, Self::Ttfb];

    /// The key in answers.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Lcp => "lcp",
            Self::Inp => "inp",
            Self::Cls => "cls",
            Self::Fcp => "fcp",
            Self::Ttfb => "ttfb",
        }
    }

    /// The metric that carries it.
    pub(crate) const fn metric_name(self) -> &'static str {
        match self {
            Self::Lcp => "web_vitals_lcp",
            Self::Inp => "web_vitals_inp",
            Self::Cls => "web_vitals_cls",
            Self::Fcp => "web_vitals_fcp",
            Self::Ttfb => "web_vitals_ttfb",
        }
    }

    /// Whether it makes the answer's `web_vitals` appear: the contract's three do.
    pub(crate) const fn opens_the_section(self) -> bool {
        matches!(self, Self::Lcp | Self::Inp | Self::Cls)
    }

    /// Below the first it is good, from the second on poor.
    pub(crate) const fn limits(self) -> (f64, f64) {
        match self {
            Self::Lcp => (2500.0, 4000.0),
            Self::Inp => (200.0, 500.0),
            Self::Cls => (0.1, 0.25),
            Self::Fcp => (1800.0, 3000.0),
            Self::Ttfb => (800.0, 1800.0),
        }
    }

    /// The word for a value; `unknown` for none.
    pub(crate) fn rating(self, value: Option<f64>) -> &'static str {
        let (good, poor) = self.limits();
        match value {
            None => "unknown",
            Some(value) if value < good => "good",
            Some(value) if value < poor => "needs-improvement",
            Some(_) => "poor",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_limit_has_the_worse_rating() {
        for vital in Vital::ALL {
            let (good, poor) = vital.limits();
            assert_eq!(vital.rating(Some(good * 0.999)), "good");
            assert_eq!(vital.rating(Some(good)), "needs-improvement");
            assert_eq!(vital.rating(Some(poor * 0.999)), "needs-improvement");
            assert_eq!(vital.rating(Some(poor)), "poor");
            assert_eq!(vital.rating(None), "unknown");
        }
    }
}
