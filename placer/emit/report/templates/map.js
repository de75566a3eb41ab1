"use strict";
// The map of a fleet: a cell a host, a strip a node, drawn for what is in sight alone. Names come in as text and go out
// as text: into a canvas, an option or textContent.
function mountMap(data, open) {
  const at = (id) => document.getElementById(id);
  const box = at("mapbox"), canvas = box.querySelector("canvas"), spacer = box.querySelector("div");
  const pen = canvas.getContext("2d");
  const hosts = data.names.length;
  const LEVELS = [[7, 7], [10, 10], [15, 13], [24, 18], [50, 30], [104, 42]];
  const GAP = 2, NAMED = 50, LINE = 17, APART = 3, STEPS = 20;
  const FONT = "600 12px system-ui, sans-serif";
  const collator = new Intl.Collator("en", { numeric: true });
  const byName = [...data.names.keys()].sort((a, b) => collator.compare(data.names[a], data.names[b]));
  let level = -1, gutter = 0, cell = LEVELS[0], kept = null, verdicts = null, cursor = -1, order = [], rows = [], paints = {};

  // What colours the hosts: `of` a value a node or a host in its unit, 1 being the top of the scale.
  const percent = (value) => (value === null ? "unknown" : `${Math.round(100 * value)} %`);
  const nodes = (name) => (side, host) => side[name][host].map((one) => (one === null ? null : one / 1000));
  const most = Math.max(1, ...data.changed);
  const kinds = {
    cpu: { title: "CPUs in use", of: nodes("cpu"), say: percent, sides: true },
    memory: { title: "memory in use", of: nodes("memory"), say: percent, sides: true },
    locality: {
      title: "locality", sides: true, less: true, say: percent,
      of: (side, host) => [side.locality[host] === null ? null : side.locality[host] / 100],
    },
  };
  if (data.after) {
    kinds.change = {
      title: "VMs that change", of: (_, host) => [data.changed[host] / most],
      say: (value) => number.format(Math.round(value * most)),
    };
  }
  if (data.since) {
    const top = Math.max(1, ...data.since);
    kinds.since = {
      title: "VMs that differ since then", of: (_, host) => [data.since[host] / top],
      say: (value) => number.format(Math.round(value * top)),
    };
  }
  for (const [place, flavor] of (data.headroom ? data.headroom.flavors : []).entries()) {
    const fits = data.headroom.fits[place];
    const top = Math.max(1, ...fits);
    kinds[`room${place}`] = {
      title: `headroom of ${flavor}`, of: (_, host) => [fits[host] / top],
      say: (value) => number.format(Math.round(value * top)),
    };
  }
  for (const [place, rule] of data.rules.entries()) {
    const top = Math.max(1, ...rule.counts);
    kinds[`rule${place}`] = {
      title: `VMs under ${rule.name}`, of: (_, host) => [rule.counts[host] / top],
      say: (value) => number.format(Math.round(value * top)),
    };
  }
  kinds.hardware = { title: "hardware", values: data.shapes, place: (host) => data.shape[host] };
  for (const [key, label] of Object.entries(data.labels)) {
    kinds[`label ${key}`] = { title: `label ${key}`, values: label.values, place: (host) => label.at[host] };
  }
  const groups = { none: null };
  for (const [key, kind] of Object.entries(kinds)) if (kind.values) groups[key] = kind;

  const option = (select, value, text) => select.append(new Option(text, value));
  for (const [key, kind] of Object.entries(kinds)) option(at("paint"), key, kind.title);
  option(at("group"), "none", "nothing");
  for (const [key, kind] of Object.entries(groups)) if (kind) option(at("group"), key, kind.title);
  if (groups["label rack"]) at("group").value = "label rack";
  let chosen = data.after ? "after" : "before";
  const has = { before: data.before, after: data.after, difference: data.before && data.after };
  for (const radio of document.querySelectorAll("input[name=side]")) {
    radio.disabled = !has[radio.value];
    radio.checked = radio.value === chosen;
    radio.addEventListener("change", () => { chosen = radio.value; layout(); });
  }

  const value = (kind, host) => {
    if (kind.values) return [kind.place(host)];
    if (!kind.sides) return kind.of(null, host);
    if (chosen !== "difference") return kind.of(data[chosen], host);
    const [was, will] = [kind.of(data.before, host), kind.of(data.after, host)];
    return will.map((one, node) => (one === null || was[node] === null ? null : one - was[node]));
  };
  const mean = (values) => {
    const known = values.filter((one) => one !== null);
    return known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : null;
  };

  // Colours stand in the style sheet, so that light, dark and paper have their own.
  const readPaints = () => {
    const style = getComputedStyle(document.documentElement);
    const get = (name) => style.getPropertyValue(name).trim();
    const mix = (from, to, share) => {
      const channel = (text, n) => parseInt(text.slice(1 + 2 * n, 3 + 2 * n), 16);
      return `rgb(${[0, 1, 2].map((n) => Math.round(channel(from, n) + share * (channel(to, n) - channel(from, n)))).join(" ")})`;
    };
    const ramp = (from, to) => Array.from({ length: STEPS + 1 }, (_, step) => mix(get(from), get(to), step / STEPS));
    const names = ["#77aadd", "#ee8866", "#bbcc33", "#ffaabb", "#44bb99", "#eedd88", "#c5a5e8", "#99ddff", "#d9a066",
      "#aaaa33", "#e58fd0", "#a8e6c1"];
    paints = {
      more: ramp("--low", "--high"), bad: ramp("--low", "--warm"), less: ramp("--low", "--cold"), names,
      over: get("--over"), unknown: get("--unknown"), ink: get("--ink"), soft: get("--soft"), back: get("--back"),
      SAFE: get("--good"), WORSE: get("--warm"), BLOCKED: get("--blocked"),
    };
  };
  // A VM that floats over a host counts in equal parts on its nodes: a node is only over where its host is.
  const colour = (kind, one, whole = one) => {
    if (kind.values) return one < 0 ? paints.unknown : paints.names[one % paints.names.length];
    if (one === null) return paints.unknown;
    if (kind.sides && chosen === "difference") {
      const size = Math.min(STEPS, Math.round(Math.abs(one) * 2 * STEPS));
      return (one > 0 ? paints.bad : paints.less)[size];
    }
    if (whole > 1.0005) return paints.over;
    const step = Math.round(Math.min(1, Math.max(0, one)) * STEPS);
    return kind.less ? paints.bad[STEPS - step] : paints.more[step];
  };
  const kindNow = () => kinds[at("paint").value];

  const fits = {
    all: () => true,
    changed: (host) => data.changed[host] > 0,
    used: (host) => (data.after || data.before).vms[host] > 0,
    empty: (host) => (data.after || data.before).vms[host] === 0,
    out: (host) => data.failed[host] || data.drained[host],
  };
  const layout = () => {
    const only = fits[at("only").value];
    // Verdicts are on every host: those that a search left out are no less a place for the VM that it found.
    order = byName.filter((host) => only(host) && (verdicts || !kept || kept.has(host)));
    const kind = kindNow(), sort = at("order").value;
    if (sort !== "name") {
      const keys = new Float64Array(hosts);
      for (const host of order) keys[host] = mean(value(kind, host)) ?? -Infinity;
      const sign = sort === "most" ? 1 : -1;
      order.sort((a, b) => sign * (keys[b] - keys[a]));
    }
    const group = groups[at("group").value];
    const parts = new Map();
    if (group) {
      for (const host of order) {
        const place = group.place(host);
        if (!parts.has(place)) parts.set(place, []);
        parts.get(place).push(host);
      }
    } else parts.set(-1, order);
    const name = (place) => (place < 0 ? "without" : group.values[place]);
    const wide = Math.max(60, box.clientWidth - 2);
    // The names of groups stand in a gutter beside their rows.
    pen.font = FONT;
    const titles = new Map([...parts].map(([place, members]) => [place, group ? `${name(place)}: ${counted(members.length, "host")}` : ""]));
    const longest = [...titles.values()].sort((a, b) => b.length - a.length).slice(0, 50);
    const widest = Math.max(0, ...longest.map((text) => pen.measureText(text).width));
    gutter = group ? Math.min(wide / 3, widest + 10) : 0;
    const columnsAt = (size) => Math.max(1, Math.floor((wide - gutter) / (size[0] + GAP)));
    const rowHeight = (size) => Math.max(size[1] + GAP, group ? LINE : 0);
    const heightAt = (size) => {
      let height = 0;
      for (const members of parts.values()) {
        height += Math.ceil(members.length / columnsAt(size)) * (size[1] + GAP) + rowHeight(size) - size[1] - GAP + (group ? APART : 0);
      }
      return height;
    };
    if (level < 0) {
      level = LEVELS.length - 1;
      while (level > 0 && heightAt(LEVELS[level]) > 460) level -= 1;
    }
    const [least, height] = LEVELS[level], columns = columnsAt(LEVELS[level]);
    // Rows that would leave the map half empty get wider cells, short of those that hold names.
    const most = [...parts.values()].reduce((many, members) => Math.max(many, members.length), 1);
    cell = [least < NAMED ? Math.max(least, Math.min(NAMED - 1, Math.floor((wide - gutter) / Math.min(columns, most)) - GAP)) : least, height];
    rows = [];
    order = [];
    let y = 0;
    for (const place of [...parts.keys()].sort((a, b) => (group ? collator.compare(name(a), name(b)) : 0))) {
      const members = parts.get(place);
      for (let first = 0; first < members.length; first += columns) {
        const own = members.slice(first, first + columns);
        const tall = first === 0 ? rowHeight(LEVELS[level]) : height + GAP;
        rows.push({ y, height: tall, hosts: own, first: order.length, title: first === 0 ? titles.get(place) : "" });
        order.push(...own);
        y += tall;
      }
      y += group ? APART : 0;
    }
    const tall = Math.max(60, Math.min(y, 560));
    box.style.height = `${tall + 2}px`;
    spacer.style.height = `${Math.max(0, y - tall)}px`;
    const dense = window.devicePixelRatio || 1;
    canvas.style.height = `${tall}px`;
    canvas.style.width = `${wide}px`;
    // A canvas that is given a size is made anew, also where it has that size.
    const pixels = [Math.round(wide * dense), Math.round(tall * dense)];
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
    draw();
    legend();
  };

  // Names of hosts begin alike: of those the end is kept.
  const cut = (text, width, end = false) => {
    while (text.length > 3 && pen.measureText(text).width > width) text = end ? `…${text.slice(2)}` : `${text.slice(0, -2)}…`;
    return text;
  };
  const draw = () => {
    const dense = window.devicePixelRatio || 1;
    const kind = kindNow(), [width, height] = cell;
    const top = box.scrollTop, bottom = top + box.clientHeight;
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.fillStyle = paints.back;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.translate(0, -top);
    let style = "";
    const use = (next) => {
      if (next !== style) pen.fillStyle = style = next;
    };
    for (const row of rows) {
      if (row.y + row.height < top || row.y > bottom) continue;
      if (row.title) {
        use(paints.ink);
        pen.font = FONT;
        pen.fillText(cut(row.title, gutter - 6), 1, row.y + 12);
      }
      const named = width >= NAMED, bar = named ? height - 14 : height;
      row.hosts.forEach((host, place) => {
        const x = gutter + place * (width + GAP);
        let values = verdicts ? [0] : value(kind, host);
        if (values.length > 1 && width / values.length < 1.5) values = [mean(values)];
        if (!values.length) values = [null];
        const strip = width / values.length, apart = strip > 4 ? 1 : 0, whole = kind.values ? 0 : mean(values);
        values.forEach((one, node) => {
          use(verdicts ? paints[verdicts[host]] || paints.unknown : colour(kind, one, whole));
          pen.fillRect(x + node * strip, row.y, strip - (node < values.length - 1 ? apart : 0), bar);
        });
        if (data.failed[host] || data.drained[host]) {
          use(paints.ink);
          for (let step = 0; step < Math.min(width, bar); step += 2) {
            pen.fillRect(x + (step * width) / Math.min(width, bar), row.y + (step * bar) / Math.min(width, bar), 1.5, 1.5);
          }
        }
        if (named) {
          use(paints.ink);
          pen.font = "11px system-ui, sans-serif";
          pen.fillText(cut(data.names[host], width, true), x, row.y + height - 3);
        }
      });
      const here = cursor - row.first;
      if (cursor >= 0 && here >= 0 && here < row.hosts.length) {
        pen.strokeStyle = paints.ink;
        pen.lineWidth = 2;
        pen.strokeRect(gutter + here * (width + GAP) - 1, row.y - 1, width + 2, height + 2);
      }
    }
  };

  const legend = () => {
    const kind = kindNow(), place = at("legend");
    const swatch = (paint, text) => {
      const one = document.createElement("span"), mark = document.createElement("span");
      mark.className = "swatch";
      mark.style.background = paint;
      one.append(mark, text);
      return one;
    };
    const found = [];
    if (verdicts) {
      found.push(swatch(paints.SAFE, "safe"), swatch(paints.WORSE, "worse"), swatch(paints.BLOCKED, "blocked"),
        swatch(paints.unknown, "not looked at"));
    } else if (kind.values) {
      kind.values.slice(0, 12).forEach((name, n) => found.push(swatch(paints.names[n % paints.names.length], name)));
      if (kind.values.length > 12) found.push(`and ${number.format(kind.values.length - 12)} more`);
    } else if (kind.sides && chosen === "difference") {
      found.push(swatch(paints.less[STEPS], "50 % less"), swatch(paints.more[0], "as before"), swatch(paints.bad[STEPS], "50 % more"));
    } else {
      const steps = new Map([0.5, 0, 1].map((step) => [kind.say(step), step]));
      for (const [text, step] of [...steps].sort((a, b) => a[1] - b[1])) found.push(swatch(colour(kind, step), text));
      if (kind.sides && !kind.less) found.push(swatch(paints.over, "more than there is"));
    }
    const title = document.createElement("b");
    title.textContent = verdicts ? verdicts.title : kind.title;
    place.replaceChildren(title, ...found, verdicts ? "" : swatch(paints.unknown, "unknown"));
    at("shown").textContent = `${number.format(order.length)} of ${counted(hosts, "host")}`;
  };

  const words = (host) => {
    const said = [data.names[host]];
    if (verdicts && verdicts.words[host]) said.push(verdicts.words[host]);
    for (const name of ["before", "after"]) {
      const one = data[name];
      if (!one) continue;
      const share = (what) => percent(mean(one[what][host].map((x) => (x === null ? null : x / 1000))));
      const near = one.locality[host] === null ? "unknown" : `${one.locality[host].toFixed(1)} %`;
      said.push(`${name}: ${counted(one.vms[host], "VM")}, CPUs ${share("cpu")}, memory ${share("memory")}, local ${near}` +
        (one.unknown[host] ? `, nodes of ${counted(one.unknown[host], "VM")} unknown` : ""));
    }
    const changed = data.changed[host];
    if (changed) said.push(changed === 1 ? "1 VM changes" : `${changed} VMs change`);
    if (data.failed[host]) said.push("failed");
    if (data.drained[host]) said.push("to be emptied");
    for (const [key, label] of Object.entries(data.labels)) {
      if (label.at[host] >= 0) said.push(`${key} ${label.values[label.at[host]]}`);
    }
    return said.join("; ");
  };
  const point = (place, scroll) => {
    cursor = Math.max(0, Math.min(order.length - 1, place));
    const row = rows.find((one) => cursor < one.first + one.hosts.length);
    if (scroll && row) {
      if (row.y < box.scrollTop) box.scrollTop = row.y;
      else if (row.y + row.height > box.scrollTop + box.clientHeight) box.scrollTop = row.y + row.height - box.clientHeight;
    }
    at("said").textContent = order.length ? words(order[cursor]) : "no host is shown";
    draw();
  };
  const under = (event) => {
    const bounds = canvas.getBoundingClientRect(), [width] = cell;
    const y = event.clientY - bounds.top + box.scrollTop, x = event.clientX - bounds.left - gutter;
    const row = rows.find((one) => y >= one.y && y < one.y + one.height);
    const place = Math.floor(x / (width + GAP));
    return row && place >= 0 && place < row.hosts.length ? row.first + place : -1;
  };
  box.addEventListener("pointermove", (event) => {
    const place = under(event);
    if (place >= 0 && place !== cursor) point(place, false);
  });
  box.addEventListener("click", (event) => {
    const place = under(event);
    if (place < 0) return;
    point(place, false);
    open(order[place]);
  });
  box.addEventListener("keydown", (event) => {
    const row = rows.find((one) => cursor < one.first + one.hosts.length);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -(row ? row.hosts.length : 1), ArrowDown: row ? row.hosts.length : 1 };
    if (event.key in steps) point(cursor + steps[event.key], true);
    else if (event.key === "Home") point(0, true);
    else if (event.key === "End") point(order.length - 1, true);
    else if (event.key === "Enter" || event.key === " ") {
      if (cursor >= 0 && order.length) open(order[cursor]);
    } else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1 : -1);
    else return;
    event.preventDefault();
  });
  at("mapcsv").addEventListener("click", () => {
    const sides = ["before", "after"].filter((name) => data[name]);
    const labels = Object.entries(data.labels);
    const head = ["host", ...labels.map(([key]) => key), "hardware"];
    for (const name of sides) head.push(`VMs ${name}`, `CPUs ${name}`, `memory ${name}`, `locality ${name}`);
    const share = (values) => {
      const known = mean(values.map((one) => (one === null ? null : one / 1000)));
      return known === null ? "" : known.toFixed(3);
    };
    const rows = order.map((host) => [
      data.names[host],
      ...labels.map(([, label]) => (label.at[host] < 0 ? "" : label.values[label.at[host]])),
      data.shapes[data.shape[host]],
      ...sides.flatMap((name) => [
        String(data[name].vms[host]),
        share(data[name].cpu[host]),
        share(data[name].memory[host]),
        data[name].locality[host] === null ? "" : String(data[name].locality[host]),
      ]),
      String(data.changed[host]),
    ]);
    tables.save(tables.csv([[...head, "VMs that change"], ...rows]), "hosts.csv");
  });
  box.addEventListener("scroll", draw, { passive: true });
  const zoom = (by) => {
    level = Math.max(0, Math.min(LEVELS.length - 1, level + by));
    layout();
  };
  at("closer").addEventListener("click", () => zoom(1));
  at("farther").addEventListener("click", () => zoom(-1));
  for (const id of ["paint", "group", "order", "only"]) at(id).addEventListener("change", layout);
  const repaint = () => {
    readPaints();
    layout();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  addEventListener("resize", layout);
  addEventListener("beforeprint", repaint);
  at("fleet").hidden = false;
  repaint();
  return {
    /** Show the hosts of a set of their places alone; null: all. */
    keep(wanted) {
      kept = wanted;
      cursor = -1;
      layout();
    },
    /** Colour by a verdict a host ({place: "SAFE" | "WORSE" | "BLOCKED", words, title}); null: by what is chosen. */
    judge(found) {
      verdicts = found;
      layout();
    },
    words,
    shown: () => order,
  };
}
