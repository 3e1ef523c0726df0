"""The shop of the demo: a FastAPI app with the Python SDK under in-process traffic, and the logs of four containers."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import random
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import httpx
from fastapi import FastAPI, HTTPException
from monlight.integrations.fastapi import setup_monlight
from past import send_past

ROOT = Path(__file__).resolve().parent.parent.parent
# Always here, also when LOG_SOURCES is somewhere else: made-up containers have no business among Docker's own.
CONTAINERS = ROOT / "data" / "containers"
random.seed(20261122)

DEMO = json.loads(os.environ["MONLIGHT_DEMO"])
SETTINGS, URLS = DEMO["settings"], DEMO["urls"]
app = FastAPI()
clients = setup_monlight(
    app,
    error_tracker_url=URLS["error-tracker"],
    metrics_collector_url=URLS["metrics-collector"],
    api_key=SETTINGS["API_KEY"],
    project="shop-api",
    flush_interval=2.0,
)
metrics = clients["metrics_client"]
assert metrics is not None


class PaymentProviderError(Exception):
    """The bank said no."""


# Rare things happen in turn, not by chance: the shortest demo has each of them.
payments = itertools.count(1)
searches = itertools.count(1)
open_orders = 33


def ship(address: dict[str, str]) -> str:
    return f"{address['street']}, {address['city']}"


def charge(order: int) -> None:
    global open_orders
    payment = next(payments)
    if payment % 9 == 0:
        raise PaymentProviderError(f"402 card_declined (insufficient_funds), order {order}")
    if payment % 13 == 0:
        raise TimeoutError("QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00")
    if payment % 19 == 0:
        ship({"street": "Cup Lane 4"})
    open_orders = max(5, open_orders + random.choice([-1, 0, 0, 1]))
    metrics.gauge("orders_open", open_orders)


@app.get("/")
async def home() -> dict[str, str]:
    await asyncio.sleep(random.uniform(0.001, 0.006))
    return {"shop": "tea and cups"}


@app.get("/products/{product_id}")
async def product(product_id: int) -> dict[str, int]:
    await asyncio.sleep(random.lognormvariate(-5.2, 0.6))
    if product_id % 41 == 0:
        raise HTTPException(404, "no such product")
    return {"product": product_id}


@app.get("/search")
async def search(q: str, page: str = "1") -> dict[str, str | int]:
    await asyncio.sleep(random.lognormvariate(-4.0, 0.7))
    return {"q": q, "page": int(page)}


@app.post("/orders/{order_id}/pay")
async def pay(order_id: int) -> dict[str, int]:
    await asyncio.sleep(random.lognormvariate(-3.2, 0.5))
    charge(order_id)
    metrics.counter("orders_paid_total", labels={"method": random.choice(["card", "card", "paypal"])})
    metrics.histogram("order_value_eur", round(random.lognormvariate(3.3, 0.8), 2))
    return {"paid": order_id}


def one_request() -> tuple[str, str]:
    kind = random.choices(["home", "product", "search", "pay", "missing"], [3, 6, 3, 2, 0.3])[0]
    number = random.randrange(1, 400)
    if kind == "search":
        word = random.choice(["green tea", "cup", "pot", "matcha", "oolong 2026", "strainer"])
        return "GET", f"/search?q={word}&page={number % 3 + 1 if next(searches) % 13 else 'two'}"
    return {
        "home": ("GET", "/"),
        "product": ("GET", f"/products/{number}"),
        "pay": ("POST", f"/orders/{number}/pay"),
        "missing": ("GET", f"/wp-admin/{number}.php"),
    }[kind]


class Containers(logging.Handler):
    """Writes what Docker's json-file driver would write for four containers."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self.files = {}
        for index, name in enumerate(["shop-api", "shop-worker", "postgres", "nginx"]):
            identity = f"{index + 1:x}d3m0".ljust(64, "0")
            directory = CONTAINERS / identity
            directory.mkdir(parents=True, exist_ok=True)
            labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": name}
            config = {"ID": identity, "Name": f"/{name}", "Config": {"Labels": labels}}
            (directory / "config.v2.json").write_text(json.dumps(config), encoding="utf-8")
            self.files[name] = (directory / f"{identity}-json.log").open("a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """What the app itself logs, as its container would."""
        self.write("shop-api", self.format(record), "stderr")

    def write(self, name: str, text: str, stream: str = "stdout") -> None:
        now = time.time_ns()
        stamp = datetime.fromtimestamp(now // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        for line in text.splitlines():
            record = {"log": line + "\n", "stream": stream, "time": f"{stamp}.{now % 10**9:09d}Z"}
            self.files[name].write(json.dumps(record, ensure_ascii=False) + "\n")
        self.files[name].flush()

    def some_lines(self) -> None:
        now = datetime.now(timezone.utc)
        number, clock = random.randrange(1000, 9999), now.strftime("%Y-%m-%d %H:%M:%S")
        choice = random.random()
        if choice < 0.35:
            answers = {
                "GET / 200": 8,
                "GET /products/17 200": 8,
                "GET /products/17 304": 2,
                "GET /search?q=cup 200": 5,
                "POST /orders/81/pay 200": 3,
            }
            answers |= {"POST /orders/81/pay 502": 0.3, "GET /favicon.ico 404": 1}
            method, path, status = random.choices(list(answers), list(answers.values()))[0].split(" ")
            self.write(
                "nginx",
                f'172.20.0.1 - - [{now:%d/%b/%Y:%H:%M:%S +0000}] "{method} {path} HTTP/1.1" {status} {number} "-" "Mozilla/5.0"',
            )
        elif choice < 0.7:
            level = random.choices(["INFO", "DEBUG", "WARNING", "ERROR"], [80, 10, 6, 2])[0]
            text = {
                "INFO": f"order {number} paid in {random.randrange(20, 400)} ms",
                "DEBUG": f"cache miss for product:{number}",
                "WARNING": f"pool {random.randrange(12, 16)}/15 checked out, {random.randrange(1, 9)} waiting",
                "ERROR": f"gateway answered 502 for order {number}, giving up after 3 retries",
            }[level]
            self.write("shop-api", f"{clock},{number % 1000:03d} {level} shop.orders: {text}")
        elif choice < 0.85:
            late = number % 10 == 0
            record = {
                "level": "warn" if late else "info",
                "msg": "receipt sent late" if late else "receipt sent",
                "order": number,
                "ms": number % 300 + 900 * late,
            }
            self.write("shop-worker", json.dumps(record))
        elif choice < 0.975:
            text = (
                f"LOG:  duration: {number / 50:.3f} ms  statement: SELECT stock FROM products WHERE id = {number % 400}"
            )
            self.write("postgres", f"{clock}.{number % 1000:03d} UTC [71] {text}", "stderr")
        elif choice < 0.98:
            self.write(
                "postgres", f"{clock}.{number % 1000:03d} UTC [88] FATAL:  sorry, too many clients already", "stderr"
            )
        else:
            self.write(
                "shop-worker",
                "Traceback (most recent call last):\n"
                '  File "/srv/worker/mail.py", line 71, in send_receipt\n'
                "    smtp.sendmail(sender, to, text)\n"
                '  File "/usr/lib/python3.12/smtplib.py", line 398, in getreply\n'
                '    raise SMTPServerDisconnected("Connection unexpectedly closed: " + str(e))\n'
                "smtplib.SMTPServerDisconnected: Connection unexpectedly closed: timed out",
                "stderr",
            )


async def traffic(until: float) -> int:
    containers = Containers()
    logging.basicConfig(handlers=[containers], level=logging.ERROR)
    sent = 0
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:

        async def visitor() -> None:
            nonlocal sent
            while time.monotonic() < until:
                method, path = one_request()
                await client.request(method, path, headers={"user-agent": "Mozilla/5.0 (demo)"})
                sent += 1
                await asyncio.sleep(random.expovariate(1.4))

        async def chatter() -> None:
            while time.monotonic() < until:
                containers.some_lines()
                metrics.gauge("queue_depth", 4 + abs(8 * random.gauss(0, 0.4)), labels={"queue": "mail"})
                await asyncio.sleep(random.expovariate(12))

        await asyncio.gather(*(visitor() for _ in range(4)), chatter())
    return sent


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    web_project = SETTINGS["DSN_KEYS"].partition(":")[0]
    if past := send_past(URLS["metrics-collector"], SETTINGS["API_KEY"], "shop-api", web_project):
        print(f"shop: {past} measurements of the day before, for the charts", flush=True)
    if (ROOT / SETTINGS.get("LOG_SOURCES", "data/containers")).resolve() != CONTAINERS:
        print(f"shop: LOG_SOURCES points elsewhere, so nobody reads the demo's logs in {CONTAINERS}", flush=True)
    sent = asyncio.run(traffic(time.monotonic() + seconds))
    metrics.shutdown()
    print(f"shop: {sent} requests through the Python SDK")


main()
