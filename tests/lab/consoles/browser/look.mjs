// Opens a console in noVNC in a real browser, types, and prints as JSON what was seen.
// Arguments: the browser's program, the lab's URL, the cookie, the console's path, its port, its ticket.
import { chromium } from "playwright-core";
import path from "node:path";

const [program, url, cookie, console_, port, ticket] = process.argv.slice(2);
const modules = path.resolve("node_modules/@novnc/novnc");
const socket = `${url.replace("https", "wss")}/api2/json${console_}/vncwebsocket?` +
  new URLSearchParams({ port, vncticket: ticket });
const html = `<!doctype html><meta charset="utf-8"><title>-</title><div id="screen" style="width:960px;height:550px"></div>
<script type="module">
import RFB from "/novnc/core/rfb.js";
const rfb = new RFB(document.getElementById("screen"), ${JSON.stringify(socket)},
  { credentials: { password: ${JSON.stringify(ticket)} }, wsProtocols: ["binary"] });
rfb.addEventListener("connect", () => { rfb.focus(); document.title = "connected"; });
rfb.addEventListener("desktopname", event => { window.desktop = event.detail.name; });
rfb.addEventListener("securityfailure", event => { document.title = "refused: " + event.detail.reason; });
rfb.addEventListener("disconnect", () => { document.title = "gone"; });
</script>`;

// How many pixels of the canvas are light.
const light = () => {
  const canvas = document.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4) count += data[at] > 100 ? 1 : 0;
  return { width: canvas.width, height: canvas.height, count };
};

const browser = await chromium.launch({
  executablePath: program, args: ["--no-sandbox", "--disable-dev-shm-usage"], timeout: 60000,
});
try {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  context.setDefaultTimeout(30000);
  // The page comes out of this file, so the browser takes the lab for a stranger on the local network.
  await context.grantPermissions(["local-network-access"]);
  await context.addCookies([{ name: "PVEAuthCookie", value: cookie, url, secure: true }]);
  const page = await context.newPage();
  await page.route(`${url}/novnc/**`, (route) => {
    const name = new URL(route.request().url()).pathname.replace("/novnc/", "");
    return name === "index.html"
      ? route.fulfill({ contentType: "text/html", body: html })
      : route.fulfill({ path: path.join(modules, name) });
  });
  await page.goto(`${url}/novnc/index.html`);
  await page.waitForFunction(() => document.title !== "-");
  const title = await page.title();
  if (title !== "connected") throw new Error(title);
  await page.waitForFunction(`(${light})().count > 100`);
  const before = await page.evaluate(light);
  await page.keyboard.type("echo hello");
  await page.keyboard.press("Enter");
  await page.waitForFunction(`(${light})().count > ${before.count + 300}`);
  const after = await page.evaluate(light);
  const name = await page.evaluate(() => window.desktop);
  process.stdout.write(JSON.stringify({ name, before, after }));
} finally {
  await browser.close();
}
