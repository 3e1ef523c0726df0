import { createElement, useState } from "react";
import { createRoot } from "react-dom/client";

function Counter() {
  const [count, setCount] = useState(1);
  return createElement("button", { title: "count", onClick: () => setCount(count + 1) }, count);
}

globalThis.startReact = (root) => createRoot(root).render(createElement(Counter));
