"""The original's own client, monlight 0.3.0 from PyPI, against our services: client.py TRACKER_URL COLLECTOR_URL API_KEY.

Sends one error by each of its ways and some metrics, and lets its FastAPI integration report a request that fails. Prints
every warning it logs; the test wants none.
"""

import asyncio
import logging
import sys

import httpx
import monlight
from fastapi import FastAPI
from monlight.integrations.fastapi import setup_monlight

tracker_url, collector_url, api_key = sys.argv[1:4]
assert monlight.__version__ == "0.3.0", monlight.__version__


class Complaints(logging.Handler):
    """Prints what the client's loggers warn about, but not the exception that the app raises on purpose."""

    def emit(self, record: logging.LogRecord) -> None:
        if not record.getMessage().startswith("Unhandled exception"):
            print(f"complaint: {record.getMessage()}", flush=True)


logging.getLogger("monlight").addHandler(Complaints(logging.WARNING))

errors = monlight.ErrorClient(tracker_url, api_key, project="original")
context = {"request_url": "/pay?x=1", "request_method": "POST", "request_headers": {"Accept": "*/*"}, "user_id": 42, "extra": {"n": [1, None]}}
try:
    int("twelve")
except ValueError as exception:
    errors.report_error_sync(exception, context)
try:
    {}["missing"]
except KeyError as exception:
    asyncio.run(errors.report_error(exception))

metrics = monlight.MetricsClient(collector_url, api_key, project="original")
for n in range(20):
    metrics.counter("original_total", labels={"parity": str(n % 2)})
metrics.histogram("original_seconds", 0.25)
metrics.gauge("original_depth", -3)
metrics.flush()

app = FastAPI()
clients = setup_monlight(
    app, error_tracker_url=tracker_url, metrics_collector_url=collector_url, api_key=api_key, project="original", flush_interval=60
)


@app.get("/boom/{name}")
async def boom(name: str) -> None:
    raise LookupError(f"no {name}")


async def call() -> int:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
        status = (await client.get("/boom/tea")).status_code
        # Its handler reports in a task that nobody waits for.
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.gather(*others)
        return status


print(f"status: {asyncio.run(call())}")
clients["metrics_client"].shutdown()
