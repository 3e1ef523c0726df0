const SECRET = /token|secret|passw|passphr|auth(?!or)|credential|signature|session|(api|access|private).?key|csrf|xsrf|saml|assertion|jwt|(ticket|otp|sig|hmac|nonce)$|^(key|code|pwd|pass|sid|pin)$/i;

// A parameter of a query or fragment. The value ends at the next one, at the end of the URL, or
// before the line and column of a stack frame.
const PARAMETER = /([?&#;])([^?&#;=\s]+)=([^&#\s"'()<>]*?)(?=:\d+:\d+|[&#\s"'()<>]|$)/g;

/**
 * Makes a function that replaces the values of secret URL parameters, wherever a URL stands in a
 * text, by `[redacted]`. `names` are further parameter names.
 */
export function scrubber(names: string[] = []): (text: string) => string {
  const extra = names.map((name) => String(name).toLowerCase());
  return (text) =>
    text.replace(PARAMETER, (whole, mark: string, name: string) =>
      SECRET.test(name) || extra.includes(name.toLowerCase()) ? `${mark}${name}=[redacted]` : whole,
    );
}
