"use strict";
(() => {
  const hostRows = [...document.querySelectorAll("#hosttable tbody tr")];
  const parts = new Map([...document.querySelectorAll("details.host")].map((part) => [part.id, part]));

  // Sorting: a header becomes a button, so that the keyboard reaches it.
  const units = { KiB: 1, MiB: 1024, GiB: 1024 ** 2, TiB: 1024 ** 3 };
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const match = /^(-?[\d,]*\.?\d+)(?: (KiB|MiB|GiB|TiB|%))?$/.exec(text);
    return match ? Number(match[1].replaceAll(",", "")) * (units[match[2]] || 1) : text;
  };
  const order = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b
      : typeof a === "number" ? -1 : typeof b === "number" ? 1 : collator.compare(a, b);
  const collator = new Intl.Collator("en", { numeric: true });
  const sort = (table, header, column) => {
    const down = header.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row, column), row]);
    rows.sort((a, b) => (down ? order(b[0], a[0]) : order(a[0], b[0])));
    body.append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      header.replaceChildren(button);
      button.addEventListener("click", () => sort(table, header, column));
    });
  }

  // Search: the names of VMs stand in the hosts' parts; they are read once, when first asked for.
  let index = null;
  const makeIndex = () => {
    const found = new Map();
    for (const part of parts.values()) {
      const members = part.querySelectorAll("table.members tbody tr");
      if (members.length) {
        for (const row of members) found.set(row.cells[0].textContent.trim(), row.textContent.toLowerCase());
      } else {
        const named = part.querySelectorAll("table.legend tbody tr > td:nth-child(2)");
        const told = part.querySelector("pre");
        const words = [part.querySelector("h3").textContent, told ? told.textContent : ""];
        found.set(words[0].trim(), [...words, ...[...named].map((cell) => cell.textContent)].join("\n").toLowerCase());
      }
    }
    return found;
  };
  const field = document.getElementById("find");
  const search = () => {
    index ||= makeIndex();
    const wanted = field.value.trim().toLowerCase();
    const kept = new Set();
    let number = 0;
    for (const row of hostRows) {
      const link = row.cells[0].firstChild;
      const fits = !wanted || (index.get(link.textContent.trim()) || link.textContent.toLowerCase()).includes(wanted);
      row.hidden = !fits;
      if (fits) {
        number += 1;
        kept.add(link.hash.slice(1));
      }
    }
    for (const [name, part] of parts) part.hidden = !kept.has(name);
    document.getElementById("found").textContent = wanted ? `${number} of ${hostRows.length} hosts` : "";
  };
  let waiting = 0;
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, 120);
  });
  document.getElementById("search").hidden = false;

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
  for (const part of parts.values()) {
    part.addEventListener("pointerover", (event) => {
      const one = event.target.closest("b, .legend tbody tr");
      const mark = one && (one.matches("tr") ? one.querySelector("b") : one).firstChild.data;
      light(part, mark && /[a-zA-Z1-9]/.test(mark) ? mark : "");
    });
    part.addEventListener("pointerleave", () => light(part, ""));
  }

  // Paper has no closed parts; a large fleet stays as it is opened.
  addEventListener("beforeprint", () => {
    if (parts.size <= 60) for (const part of parts.values()) part.open = true;
  });
})();
