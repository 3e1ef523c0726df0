// The code of a small shop page. It is bundled and minified for the test; the errors below must come back with this
// file's names and lines.

interface Item {
  name: string;
  offer?: { price: number };
}

function lineTotal(item: Item, count: number): number {
  const offer = item.offer as { price: number };
  return offer.price * count; // fails for an item without an offer
}

function cartTotal(items: Item[]): number {
  let sum = 0;
  for (const item of items) {
    sum += lineTotal(item, 2);
  }
  return sum;
}

async function reserveStock(items: Item[]): Promise<void> {
  await Promise.resolve();
  if (items.length > 1) {
    throw new RangeError(`cannot reserve ${items.length} items at once`);
  }
}

function onPay(): void {
  const total = cartTotal([{ name: "tea", offer: { price: 4 } }, { name: "cup" }]);
  document.body.append(`total ${total}`);
}

function onReserve(): void {
  void reserveStock([{ name: "tea" }, { name: "cup" }]);
}

async function showStock(): Promise<void> {
  const answer = await fetch("/api/stock");
  if (answer.ok) {
    const { stock } = (await answer.json()) as { stock: number };
    document.body.append(`${stock} left`);
  }
}

addEventListener("load", () => void showStock());
document.querySelector("#pay")?.addEventListener("click", onPay);
document.querySelector("#reserve")?.addEventListener("click", onReserve);
