"use strict";
(() => {
  let hostRows = [...document.querySelectorAll("#hosttable tbody tr")];
  const parts = new Map([...document.querySelectorAll("details.host")].map((part) => [part.id, part]));

  tables.sortable(document.getElementById("hosttable"), () => hostRows, (rows) => {
    hostRows = rows;
    search();
  });

  // Search: the names of VMs stand in the hosts' parts; they are read once, when first asked for.
  // One query over the page and rows taken out rather than hidden: each is a hundred times as fast at 10,000 hosts.
  let index = null;
  const makeIndex = () => {
    const found = new Map();
    const add = (name, text) => found.set(name, `${found.get(name) || ""}\n${text.toLowerCase()}`);
    const alone = new Map();
    for (const title of document.querySelectorAll("details.host > summary > h3")) {
      const name = title.textContent.trim();
      alone.set(title.closest("details.host").id, name);
      add(name, name);
    }
    for (const text of document.querySelectorAll("details.host > pre, details.host .legend tbody td:nth-child(2)")) {
      add(alone.get(text.closest("details.host").id), text.textContent);
    }
    for (const row of document.querySelectorAll(".members tbody tr")) add(row.cells[0].textContent.trim(), row.textContent);
    return found;
  };
  const field = document.getElementById("find");
  const data = JSON.parse(document.getElementById("columns").textContent);
  const map = mountMap(data, (host) => {
    location.hash = `#p${data.patterns[host]}`;
    open();
  });
  const place = new Map(data.names.map((name, host) => [name, host]));
  const named = new Map(hostRows.map((row) => {
    const link = row.cells[0].firstChild;
    const name = link.textContent.trim();
    return [row, { name, part: link.hash.slice(1), host: place.get(name) }];
  }));
  // What is in sight answers at once; rows below it and the parts, which are further down, follow after it is drawn.
  const SIGHT = 60;
  const body = document.querySelector("#hosttable tbody");
  let folding = 0;
  const fold = (shown, kept) => {
    body.append(...kept.slice(SIGHT));
    for (const [name, part] of parts) {
      if (part.hidden === shown.has(name)) part.hidden = !shown.has(name);
    }
  };
  const search = () => {
    index ||= makeIndex();
    const wanted = field.value.trim().toLowerCase();
    const shown = new Set(), hosts = new Set();
    const kept = hostRows.filter((row) => {
      const { name, part, host } = named.get(row);
      const fits = !wanted || (index.get(name) || name.toLowerCase()).includes(wanted);
      if (fits) {
        shown.add(part);
        hosts.add(host);
      }
      return fits;
    });
    body.replaceChildren(...kept.slice(0, SIGHT));
    map.keep(wanted ? hosts : null);
    document.getElementById("found").textContent = wanted ? `${kept.length} of ${counted(hostRows.length, "host")}` : "";
    clearTimeout(folding);
    folding = setTimeout(fold, 30, shown, kept);
  };
  field.addEventListener("input", search);
  document.getElementById("search").hidden = false;
  // On 400 hosts the names take longer to read than a key stroke may: read before one is typed, where there is time.
  (window.requestIdleCallback || setTimeout)(() => (index ||= makeIndex()));

  // A link opens what it leads to.
  const open = () => {
    const part = parts.get(location.hash.slice(1));
    if (part) {
      part.open = true;
      part.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  open();

  // Pointing at a VM shows where else it is on its host.
  const light = (part, name) => {
    part.querySelectorAll(".map").forEach((map) => map.classList.toggle("dim", Boolean(name)));
    part.querySelectorAll(".lit").forEach((one) => one.classList.remove("lit"));
    if (!name) return;
    for (const one of part.querySelectorAll(".map b")) {
      if (one.firstChild.data === name) one.classList.add("lit");
    }
  };
  let lit = null;
  document.querySelector("main").addEventListener("pointerover", (event) => {
    const part = event.target.closest("details.host");
    const one = event.target.closest(".map b, .legend tbody tr");
    const mark = part && one && (one.matches("tr") ? one.querySelector("b") : one).firstChild.data;
    if (lit) light(lit, "");
    lit = mark && /[a-zA-Z1-9]/.test(mark) ? part : null;
    if (lit) light(lit, mark);
  });

  // Paper has no closed parts; a large fleet stays as it is opened.
  addEventListener("beforeprint", () => {
    if (parts.size <= 60) for (const part of parts.values()) part.open = true;
  });
})();
