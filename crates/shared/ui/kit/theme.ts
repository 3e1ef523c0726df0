/**
 * Runs before the first paint, as a file of its own because the pages allow no inline script:
 * sets the chosen theme and the folded navigation. Nothing else is kept in the browser's storage
 * but the switch of single keys.
 */
(() => {
  const page = document.documentElement;
  try {
    const theme = localStorage.getItem("monlight.theme");
    if (theme === "light" || theme === "dark") page.dataset.theme = theme;
    if (localStorage.getItem("monlight.side") === "folded") page.dataset.side = "folded";
  } catch {
    // A browser may forbid storage: the system's theme it is.
  }
})();
