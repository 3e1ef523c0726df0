/** What every service's pages load after the first paint, in one file with the parts of their own. */
export { Overlays } from "./overlays";
export { SignIn } from "./signin";
