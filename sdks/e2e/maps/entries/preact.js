import { h, render } from "preact";
import { useState } from "preact/hooks";

function Counter() {
  const [count, setCount] = useState(1);
  return h("button", { title: "count", onClick: () => setCount(count + 1) }, count);
}

globalThis.startPreact = (root) => render(h(Counter), root);
