"""A small FastAPI shop that reports to Monlight, run by the end-to-end test: app.py TRACKER_URL COLLECTOR_URL API_KEY."""

import sys

import uvicorn
from fastapi import FastAPI

from monlight.integrations.fastapi import setup_monlight

tracker_url, collector_url, api_key = sys.argv[1:4]

app = FastAPI()
clients = setup_monlight(
    app,
    error_tracker_url=tracker_url,
    metrics_collector_url=collector_url,
    api_key=api_key,
    project="shop-api",
    flush_interval=0.5,
)


@app.get("/items/{item_id}")
def item(item_id: int) -> dict[str, int]:
    return {"item": item_id}


def charge(order_id: int) -> None:
    raise PermissionError(f"card of order {order_id} was declined")


@app.post("/orders/{order_id}/pay")
def pay(order_id: int) -> dict[str, int]:
    charge(order_id)
    return {"paid": order_id}


class Server(uvicorn.Server):
    async def startup(self, sockets=None) -> None:  # type: ignore[no-untyped-def]
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"app listening on 127.0.0.1:{port}", flush=True)


Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")).run()
metrics = clients["metrics_client"]
if metrics is not None:
    metrics.shutdown()
