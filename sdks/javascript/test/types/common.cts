import browser = require("@monlight/browser");

const client: browser.MonlightClient = browser.init({ dsn: "k", endpoint: "/relay" });
client.destroy();
