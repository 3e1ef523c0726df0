"""Sends errors and metrics of an application to Monlight.

`ErrorClient` reports exceptions to the error tracker, `MetricsClient` collects counters, gauges
and histograms for the metrics collector. Neither of them ever raises into the application, and
neither holds it up: sending happens on a background thread with bounded memory.
"""

from monlight._errors import ErrorClient
from monlight._metrics import MetricsClient
from monlight._version import __version__ as __version__

__all__ = ["ErrorClient", "MetricsClient"]
