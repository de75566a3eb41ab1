"use strict";
// A host opened: boxes from the socket to the thread, before beside after, and its VMs. Every name goes in as text.
const make = (tag, said = {}, ...inner) => {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(said)) {
    if (name === "class") one.className = value;
    else if (name === "click") one.addEventListener("click", value);
    else one.setAttribute(name, value);
  }
  one.append(...inner);
  return one;
};

function drawBoxes(inner) {
  const out = [];
  let cores = null;
  for (const part of inner) {
    if (part.threads) {
      if (!cores) out.push((cores = make("div", { class: "cores" })));
      cores.append(make("span", { title: part.words },
        ...part.threads.map((one) => make("b", { class: one.colour }, one.mark, make("i", {}, String(one.cpu))))));
      continue;
    }
    cores = null;
    const title = make("p", {}, make("strong", {}, part.name), part.words ? ` ${part.words}` : "");
    const box = make("div", { class: part.kind }, title);
    if (part.free_percent !== null) {
      const bar = make("u");
      bar.style.setProperty("--f", `${part.free_percent}%`);
      box.append(bar);
    }
    box.append(...drawBoxes(part.inner));
    out.push(box);
  }
  return out;
}

function drawTable(caption, heads, rows) {
  const id = `t${Math.random().toString(36).slice(2)}`;
  const table = make("table", { class: "sortable" },
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell))))));
  tables.sortable(table);
  return [make("h3", { id }, caption), tables.downloadable(table, caption),
    make("div", { class: "wide", tabindex: "0", role: "region", "aria-labelledby": id }, table)];
}

function drawSide(title, side, openVm) {
  const map = make("div", { class: "map", role: "img", "aria-label": `${title}. The table below says the same.` },
    ...drawBoxes(side.boxes));
  // What no VM has is no column: cells of VMs of one cell, changes where all stay.
  const some = (of) => side.vms.some((row) => row[of] !== "");
  const columns = [["node", "node"], ["its vCPUs", "vcpus"], ["CPUs", "cpus"], ["memory there", "memory"]];
  if (some("cell")) columns.unshift(["cell", "cell"]);
  if (some("change")) columns.push(["change", "change"]);
  const mark = (row) => make("b", { class: `${row.colour} key` }, row.mark);
  const name = (row) => make("button", { type: "button", class: "link", click: () => openVm(row.number) }, row.vm);
  return make("div", { class: "side" }, make("h3", {}, title), map,
    ...drawTable(`VMs ${title}`, ["mark", "VM", "vCPUs × memory", ...columns.map(([head]) => head)],
      side.vms.map((row) => [mark(row), name(row), row.size, ...columns.map(([, of]) => row[of])])));
}

function drawHost(host, openVm) {
  const labels = Object.entries(host.labels).map(([key, value]) => `${key} ${value}`);
  const said = [...labels, host.model, host.failed ? "failed" : ""].filter(Boolean).join(", ");
  const out = [make("h2", { tabindex: "-1" }, host.name), make("p", { class: "soft" }, said)];
  if (host.leaving.length) out.push(make("p", {}, `The plan takes away: ${host.leaving.join(", ")}.`));
  const sides = [];
  if (host.before) sides.push(drawSide("before", host.before, openVm));
  if (host.after) sides.push(drawSide(host.changed ? "after" : "now and after", host.after, openVm));
  if (host.changed && !host.before) out.push(make("p", {}, "Where its VMs are now is not known of all of them."));
  out.push(make("div", { class: "sides" }, ...sides));
  if (host.distances.nodes.length > 1) {
    out.push(...drawTable("Distances: CPUs of the row, memory of the column; 10 is local", ["node", ...host.distances.nodes.map(String)],
      host.distances.rows.map((row, n) => [String(host.distances.nodes[n]), ...row.map(String)])));
  }
  return out;
}
