// What a program with proxmox-api does: `node calls.mjs SCENARIO PORT PASSWORD` prints what came of it, as JSON.
import proxmoxApi, { QmMonitor } from "proxmox-api";

const [scenario, port, password] = process.argv.slice(2);
const options = { host: "127.0.0.1", port: Number(port) };
const root = proxmoxApi({ ...options, username: "root@pam", password });
const TEMPLATE = "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst";

const ended = async (upid) => {
  const task = root.nodes.$(upid.split(":")[1]).tasks.$(upid);
  for (;;) {
    const status = await task.status.$get();
    if (status.status === "stopped") return status.exitstatus;
    await new Promise((wake) => setTimeout(wake, 20));
  }
};

const failure = async (call) => {
  try {
    await call;
  } catch (error) {
    return error.message;
  }
  return null;
};

const scenarios = {
  async reads() {
    const nodes = await root.nodes.$get();
    return {
      version: (await root.version.$get()).version,
      nodes: nodes.map(({ node, status }) => [node, status]).sort(),
      vms: (await root.nodes.$("n1").qemu.$get({ full: true })).map(({ vmid, status }) => [vmid, status]).sort(),
      resources: (await root.cluster.resources.$get({ type: "storage" })).map(({ id }) => id).sort(),
      domains: (await root.access.domains.$get()).map(({ realm }) => realm).sort(),
    };
  },

  async container() {
    const node = root.nodes.$("n1");
    const vmid = Number(await root.cluster.nextid.$get());
    const ct = node.lxc.$(vmid);
    const ends = [
      await ended(
        await node.lxc.$post({ vmid, ostemplate: TEMPLATE, storage: "local-lvm", hostname: "js", unprivileged: true }),
      ),
    ];
    const created = await ct.config.$get();
    await ct.config.$put({ cores: 2, onboot: false, description: "of JavaScript: ü & = +" });
    const changed = await ct.config.$get();
    ends.push(await ended(await ct.status.start.$post()));
    const running = (await ct.status.current.$get()).status;
    ends.push(await ended(await ct.snapshot.$post({ snapname: "one" })));
    const snapshots = (await ct.snapshot.$get()).map(({ name }) => name);
    ends.push(await ended(await ct.status.stop.$post()), await ended(await ct.$delete({ purge: true })));
    return { vmid, ends, created, changed, running, snapshots, gone: await failure(ct.config.$get()) };
  },

  async agent() {
    const node = root.nodes.$("n1");
    await ended(await node.qemu.$(9000).clone.$post({ newid: 200, name: "agent" }));
    await ended(await node.qemu.$(200).status.start.$post());
    const { agent } = node.qemu.$(200);
    const { pid } = await agent.exec.$post({ command: ["echo", "two words"] });
    const monitor = new QmMonitor(root, "n1", 200);
    return { ...(await agent["exec-status"].$get({ pid })), status: await monitor.info("status") };
  },

  async token() {
    await root.access.users.$post({ userid: "ann@pve" });
    const user = root.access.users.$("ann@pve");
    const { value } = await user.token.$("js").$post({ privsep: false });
    await root.access.acl.$put({ path: "/pool/catalog", users: "ann@pve", roles: "PVEVMUser" });
    const mine = proxmoxApi({ ...options, tokenID: "ann@pve!js", tokenSecret: value });
    return {
      vms: (await mine.cluster.resources.$get({ type: "vm" })).map(({ vmid }) => vmid),
      refused: await failure(mine.nodes.$("n1").qemu.$(9000).config.$put({ memory: 1024 })),
      wrong: await failure(
        proxmoxApi({ ...options, tokenID: "ann@pve!js", tokenSecret: value.replace(/./g, (c) => (c === "-" ? c : "0")) })
          .nodes.$get(),
      ),
    };
  },

  async errors() {
    const node = root.nodes.$("n1");
    const other = proxmoxApi({ ...options, username: "root@pam", password: "wrong-password" });
    return {
      missing: await failure(node.qemu.$(4711).config.$get()),
      parameters: await failure(node.qemu.$post({ vmid: 300, cores: "many" })),
      unknown: await failure(root.cluster.nothing.$get()),
      login: await failure(other.nodes.$get()),
      task: await ended(await node.qemu.$(1000).status.start.$post()),
    };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
