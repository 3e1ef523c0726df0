/** Starts a service's pages. */
import { type ComponentType, render } from "preact";
import { useEffect } from "preact/hooks";
import { startClock, watchWidth } from "./dom";
import { Icon } from "./icons";
import { listenForKeys } from "./keys";
import { lazy, loadLater, setLater } from "./lazy";
import { watchTheme } from "./look";
import { askSession, session } from "./session";
import { type Service, Shell } from "./shell";
import { Toasts } from "./toast";
import { followHistory } from "./url";

const SignIn = lazy<{ service: Service }>("SignIn");

function App({ service, pages: Pages }: { service: () => Service; pages: ComponentType }) {
  switch (session.value.state) {
    case "asking":
      // One round trip: an empty desk is calmer than a page that is replaced at once.
      return null;
    case "gone":
      return <ServiceGone service={service()} />;
    case "out":
      return <SignIn service={service()} />;
    case "in":
      return (
        <Shell service={service()}>
          <Pages />
        </Shell>
      );
  }
}

/** While the service does not answer the very first question; it keeps trying. */
function ServiceGone({ service }: { service: Service }) {
  const state = session.value;
  useEffect(() => {
    const timer = setInterval(() => void askSession(), 5000);
    return () => clearInterval(timer);
  }, []);
  if (state.state !== "gone") return null;
  return (
    <main class="signin-main alone" id="main">
      <div class="empty" role="alert">
        <Icon name="warn" />
        <h1>{service.name} does not answer</h1>
        <p>{state.fault.detail} The page keeps trying every 5 seconds.</p>
        <div class="row-of">
          <button class="btn" type="button" onClick={() => void askSession()}>
            Try now
          </button>
        </div>
      </div>
    </main>
  );
}

interface Start {
  /** Read again at every paint, so that its counts can move. */
  service: () => Service;
  pages: ComponentType;
  /** Imports the second file: what `later.ts` of the kit exports, and the service's own parts. */
  later: Parameters<typeof setLater>[0];
}

export function start({ service, pages, later }: Start): void {
  // A relative address would lead elsewhere after the first change of the page's own.
  const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  if (icon) icon.href = new URL(icon.href).href;
  setLater(later);
  followHistory();
  listenForKeys();
  watchTheme();
  watchWidth();
  startClock();
  const host = document.getElementById("app");
  if (!host) throw new Error("index.html has no element with the id app");
  render(
    <>
      <App service={service} pages={pages} />
      <Toasts />
    </>,
    host,
  );
  void askSession();
  // What is opened next should not have to be waited for.
  setTimeout(loadLater, 800);
}
