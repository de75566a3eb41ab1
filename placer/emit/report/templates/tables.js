"use strict";
const number = new Intl.NumberFormat("en");
const counted = (many, one) => `${number.format(many)} ${many === 1 ? one : `${one}s`}`;
// Tables sort by a click on a header, and give what they show as CSV.
const tables = (() => {
  const units = { KiB: 1, MiB: 1024, GiB: 1024 ** 2, TiB: 1024 ** 3 };
  const collator = new Intl.Collator("en", { numeric: true });
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const match = /^(-?[\d,]*\.?\d+)(?: (KiB|MiB|GiB|TiB|%))?$/.exec(text);
    return match ? Number(match[1].replaceAll(",", "")) * (units[match[2]] || 1) : text;
  };
  const order = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b
      : typeof a === "number" ? -1 : typeof b === "number" ? 1 : collator.compare(a, b);
  const sortable = (table, rowsOf = () => [...table.tBodies[0].rows], put = (rows) => table.tBodies[0].append(...rows)) => {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      header.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = header.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        header.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = rowsOf().map((row) => [value(row, column), row]);
        rows.sort((a, b) => (down ? order(b[0], a[0]) : order(a[0], b[0])));
        put(rows.map(([, row]) => row));
      });
    });
  };
  // A text that begins like a formula is quoted for spreadsheets, as other tables of ours do.
  const cell = (text) => {
    const safe = /^[=+\-@\t\r]/.test(text) && !/^-?[\d.,]+( %)?$/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const csv = (rows) => new Blob([rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("")], { type: "text/csv" });
  const texts = (table) => [...table.rows].map((row) => [...row.cells].map((one) => one.textContent.trim()));
  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const downloadable = (table, name) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "csv";
    button.textContent = "CSV";
    button.setAttribute("aria-label", `CSV of ${name}`);
    button.addEventListener("click", () => save(csv(texts(table)), `${name.replace(/[^\w-]+/g, "-").slice(0, 40)}.csv`));
    return button;
  };
  for (const table of document.querySelectorAll("table.sortable:not(#hosttable)")) sortable(table);
  for (const table of document.querySelectorAll("main table.sortable")) {
    const title = table.closest("[aria-labelledby]");
    const heading = title && document.getElementById(title.getAttribute("aria-labelledby"));
    if (heading) table.parentElement.before(downloadable(table, heading.textContent.trim()));
  }
  // What prints on one page: the figures, sentences, goals, before and after.
  const briefly = document.getElementById("briefly");
  briefly.addEventListener("click", () => {
    document.body.classList.add("briefly");
    print();
  });
  addEventListener("afterprint", () => document.body.classList.remove("briefly"));
  return { sortable, csv, save, downloadable };
})();
