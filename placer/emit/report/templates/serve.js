"use strict";
// The page with the engine behind it: search, a host, a VM and the verdict on every place, edits, a solve.
(async () => {
  const at = (id) => document.getElementById(id);
  const token = document.querySelector("meta[name=placer-token]").content;
  const ask = async (path, body) => {
    const headers = { "x-placer-token": token };
    const got = await fetch(path, body === undefined ? { headers } : { headers, method: "POST", body: JSON.stringify(body) });
    const found = await got.json().catch(() => ({ faults: [`the server answers ${got.status}`] }));
    if (!got.ok) throw new Error((found.faults || ["no answer"]).join("\n"));
    return found;
  };
  const tell = (error) => {
    at("state").textContent = error.message;
    at("state").className = "bad";
  };
  const guarded = (action) => async (...said) => {
    try {
      await action(...said);
    } catch (error) {
      tell(error);
    }
  };

  const data = await ask("/api/fleet");
  const opened = at("opened");
  const show = (seen, ...parts) => {
    const close = make("button", { type: "button", class: "close", click: () => leave() }, "Close");
    opened.replaceChildren(close, ...parts);
    opened.hidden = false;
    const title = opened.querySelector("h2");
    title.focus({ preventScroll: true });
    seen.scrollIntoView({ block: "nearest" });
  };
  let asking = null;
  const leave = () => {
    asking = null;
    opened.hidden = true;
    map.judge(null);
    at("mapbox").focus();
  };

  // The verdict on each host: of several places on one, the first, which is the best.
  const verdictsOf = (vm) => {
    const place = { title: `${vm.name} on each host`, words: {} };
    for (const one of vm.places) {
      for (const host of one.hosts) {
        if (one.planned || place[host]) continue;
        place[host] = one.verdict;
        place.words[host] = `${vm.name} on ${one.nodes}: ${one.verdict}, ${one.because}`;
      }
    }
    return place;
  };
  const names = (hosts) => {
    const said = hosts.slice(0, 3).map((host) => data.names[host]).join(", ");
    return hosts.length > 3 ? `${said} and ${hosts.length - 3} more` : said;
  };
  // Places of the same verdict for the same reason stand in one row, the best first.
  const alike = (places) => {
    const found = new Map();
    for (const one of places) {
      const key = JSON.stringify([one.verdict, one.because, one.now]);
      if (!found.has(key)) found.set(key, { ...one, hosts: [], nodes: new Set() });
      const row = found.get(key);
      for (const host of one.hosts) if (!row.hosts.includes(host)) row.hosts.push(host);
      row.nodes.add(one.nodes);
    }
    return [...found.values()].slice(0, 200).map((row) => ({ ...row, nodes: [...row.nodes].slice(0, 4).join(", ") }));
  };
  const openVm = guarded(async (number) => {
    at("found").textContent = "judging every other place";
    const vm = await ask(`/api/vm?at=${number}`).finally(() => (at("found").textContent = foundNow));
    at("state").textContent = "";
    const verdicts = verdictsOf(vm);
    asking = { vm, verdicts };
    map.judge(verdicts);
    const where = vm.host ? `on ${vm.host}, ${vm.nodes}` : `without a place: ${vm.reason}`;
    const others = vm.places.filter((one) => !one.planned);
    const counts = ["SAFE", "WORSE", "BLOCKED"].map((verdict) => {
      const many = others.filter((one) => one.verdict === verdict).reduce((sum, one) => sum + one.hosts.length, 0);
      return many ? `${many} ${verdict}` : "";
    }).filter(Boolean).join(", ");
    const lines = [
      `${vm.size}, ${where}. Remote accesses ${vm.remote_share}, remote access ${vm.remote_access} vCPUs.`,
      vm.change ? `Change: ${vm.change}.` : "",
      vm.moved_by ? `Why it moves: ${vm.moved_by}.` : "",
      `Other places: ${counts || "none"}. The map shows them; a host that is opened says what moving ${vm.name} there does.`,
      vm.left_out ? `${vm.left_out} more hosts were not looked at.` : "",
    ].filter(Boolean);
    const verdict = make("p", { id: "verdict", role: "status" });
    const list = make("select", { id: "target" }, new Option("choose a host", ""));
    for (const [host, name] of data.names.entries()) list.append(new Option(name, host));
    list.addEventListener("change", () => list.value && judge(Number(list.value)));
    show(at("fleet"), make("h2", { tabindex: "-1" }, vm.name), ...lines.map((line) => make("p", {}, line)),
      make("p", {}, make("label", { for: "target" }, "What if it moves to "), list), verdict,
      ...drawTable("Other places", ["hosts", "nodes", "verdict", "because"],
        alike(others).map((one) => [names(one.hosts) + (one.now ? " (now)" : ""), one.nodes, one.verdict, one.because])));
  });
  const judge = (host) => {
    const words = asking.verdicts.words[host];
    const home = host === asking.vm.at && !words;
    at("verdict").textContent = words
      ? `${data.names[host]}: ${words}`
      : `${data.names[host]}: ${home ? "it is there, and there is no other place on it" : "this host was not looked at"}`;
  };
  const openHost = guarded(async (number) => {
    if (asking) {
      at("target").value = String(number);
      judge(number);
      at("verdict").scrollIntoView({ block: "nearest" });
      return;
    }
    at("state").textContent = "";
    show(opened, ...drawHost(await ask(`/api/host?at=${number}`), openVm),
      make("p", {}, make("button", { type: "button", click: () => edit("drain", data.names[number]) }, "Empty this host"), " ",
        make("button", { type: "button", click: () => edit("fail", data.names[number]) }, "Let it fail")));
  });
  const map = mountMap(data, openHost);

  // Search: all names are here once they were asked for, so that a key is answered without the server, also beside a solve.
  const list = make("ul", { id: "vmlist" });
  at("search").after(list);
  at("search").hidden = false;
  const labels = Object.values(data.labels);
  const hostTexts = data.names.map((name, host) =>
    [name, ...labels.map((label) => (label.at[host] < 0 ? "" : label.values[label.at[host]]))].join("\n").toLowerCase());
  let named = null;
  const vmNames = () => (named ||= ask("/api/names").then(
    (found) => {
      const texts = found.vms.map((name) => name.toLowerCase());
      const ends = new Int32Array(texts.length);
      texts.reduce((end, text, vm) => (ends[vm] = end + text.length + 1), 0);
      return { ...found, text: texts.join("\n"), ends };
    },
    (error) => {
      named = null;
      throw error;
    }));
  let last = 0, foundNow = "";
  const search = guarded(async () => {
    const number = (last += 1);
    const { vms, at: hosts, text, ends } = await vmNames();
    if (number !== last) return;
    const wanted = at("find").value.trim().toLowerCase();
    const shown = new Set(), found = [];
    if (wanted) {
      hostTexts.forEach((text, host) => text.includes(wanted) && shown.add(host));
      // All names are one text, looked through once; what was found in a name goes on behind its end.
      for (let vm = 0, from = text.indexOf(wanted); from >= 0; from = text.indexOf(wanted, ends[vm])) {
        while (ends[vm] <= from) vm += 1;
        found.push(vm);
        if (hosts[vm] >= 0) shown.add(hosts[vm]);
      }
    }
    map.keep(wanted ? shown : null);
    at("found").textContent = foundNow = wanted ? `${counted(shown.size, "host")}, ${counted(found.length, "VM")}` : "";
    list.replaceChildren(...found.slice(0, 8).map((vm) =>
      make("li", {}, make("button", { type: "button", class: "link", click: () => openVm(vm) }, vms[vm]),
        hosts[vm] >= 0 ? ` on ${data.names[hosts[vm]]}` : " nowhere")));
  });
  at("find").addEventListener("input", search);
  (window.requestIdleCallback || setTimeout)(() => void vmNames().catch(() => {}));
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !opened.hidden) leave();
  });

  // Edits, and a solve of the fleet after them.
  const edits = [];
  const hints = { drain: "h1,h2 or rack=a3", fail: "h1,h2 or rack=a3", add_hosts: "h1*4", add_vms: "40*4x8GiB", grow: "20%" };
  at("kind").addEventListener("change", () => (at("edit").placeholder = hints[at("kind").value]));
  const listEdits = () => {
    at("edits").replaceChildren(...edits.map((one, n) => make("li", {}, `${one.title} ${one.said} `,
      make("button", { type: "button", click: () => { edits.splice(n, 1); listEdits(); }, "aria-label": `Take back ${one.title} ${one.said}` }, "Take back"))));
  };
  const edit = (kind, said) => {
    const title = [...at("kind").options].find((one) => one.value === kind).text;
    if (said && !edits.some((one) => one.kind === kind && one.said === said)) edits.push({ kind, said, title });
    listEdits();
    at("edits").scrollIntoView({ block: "nearest" });
  };
  const add = () => {
    edit(at("kind").value, at("edit").value.trim());
    at("edit").value = "";
  };
  at("add").addEventListener("click", add);
  at("edit").addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      add();
    }
  });
  const whole = (id) => (at(id).value === "" ? null : Number(at(id).value));
  at("ask").addEventListener("submit", guarded(async (event) => {
    event.preventDefault();
    if (at("edit").value.trim()) add();
    const said = {};
    for (const one of edits) (said[one.kind] ||= []).push(one.said);
    await ask("/api/solve", { edits: said, time_limit_s: whole("seconds") || 20, max_moves: whole("moves") });
    await watch();
  }));
  at("stop").addEventListener("click", guarded(async () => void (await ask("/api/stop", {}))));
  if (at("back")) {
    at("back").addEventListener("click", guarded(async () => {
      await ask("/api/back", {});
      location.reload();
    }));
  }
  const watch = async () => {
    at("state").className = "";
    for (;;) {
      const now = await ask("/api/solve");
      at("stop").disabled = now.state !== "running" || now.stopping;
      at("solve").disabled = now.state === "running";
      at("progress").replaceChildren(...now.lines.map((line) => make("li", {}, line)));
      if (now.state === "running") {
        at("state").textContent = now.stopping ? "stopping with the best plan so far" : `solving, ${now.seconds} s`;
        await new Promise((done) => setTimeout(done, 300));
        continue;
      }
      if (now.state === "done") location.reload();
      if (now.state === "failed") throw new Error(now.faults.join("\n"));
      return;
    }
  };
  if ((await ask("/api/solve")).state === "running") await guarded(watch)();
  document.body.dataset.ready = "yes";
})();
