"use strict";
// What the agent says, put into the page.  Every text from outside goes in as text, never as HTML.

const PAGE = 50; // rules on one page
const byId = (id) => document.getElementById(id);
const timeline = new Timeline(byId("timeline"));
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

let chosen = decodeURIComponent(location.hash.slice(1));
let latest = null;
let asked = { offset: 0, words: "" };

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = String(text);
  if (kind) made.className = kind;
  return made;
}

/** Puts rows of cells into a table; a cell is a text, [text, class] or an element. */
function fill(table, rows) {
  const body = table.tBodies[0];
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = element("tr");
      for (const cell of cells) {
        if (cell instanceof Node) {
          const holder = element("td");
          holder.append(cell);
          row.append(holder);
        } else {
          row.append(Array.isArray(cell) ? element("td", cell[0], cell[1]) : element("td", cell));
        }
      }
      return row;
    }),
  );
}

function facts(list, pairs) {
  list.replaceChildren(
    ...pairs.flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
}

function bridgeOf(data) {
  return data.bridges.find((one) => one.name === chosen) || data.bridges[0];
}

function showBridges(data) {
  const list = byId("bridges");
  const names = data.bridges.map((one) => one.name).join("\n");
  if (list.dataset.names !== names) {
    list.dataset.names = names;
    list.replaceChildren(
      ...data.bridges.map((one) => {
        const item = element("li");
        const button = element("button", one.name);
        button.type = "button";
        button.addEventListener("click", () => choose(one.name));
        item.append(button);
        return item;
      }),
    );
  }
  for (const button of list.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.textContent === chosen));
  }
}

function choose(name) {
  chosen = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  timeline.forget();
  if (latest) show(latest);
  look(0);
}

function showBridge(bridge) {
  const waiting = bridge.who.filter((one) => one.waiting_for !== null).length;
  facts(byId("bridge"), [
    ["Datapath", bridge.datapath_id],
    ["Driver", bridge.hardware ? `${bridge.driver}: ${bridge.hardware}` : bridge.driver],
    ["Ports", bridge.ports],
    ["In flight", `${bridge.groups_in_flight} of ${bridge.max_pending} groups, ${bridge.operations_in_flight} operations`],
    ["Postponed", waiting === 1 ? "1 message" : `${waiting} messages`],
    ["Groups, meters", `${bridge.group_entries}, ${bridge.meter_entries}`],
    ["State", bridge.flushing ? `flushing: ${bridge.flushing}` : bridge.clogged ? "halted (clogged)" : "working"],
  ]);
  fill(
    byId("tables"),
    bridge.tables.map((table) => {
      const bar = element("progress");
      bar.max = table.size;
      bar.value = table.rules;
      bar.setAttribute("aria-label", `table ${table.id} filled`);
      return [
        `${table.id} ${table.name}`, [table.rules, "n"], [table.size, "n"], bar,
        [table.pending, "n"], [table.degraded, table.degraded ? "n state-degraded" : "n"],
        [table.ghosts, table.ghosts ? "n state-ghost" : "n"],
      ];
    }),
  );
}

function monitors(connection) {
  const ids = connection.monitors;
  if (!ids.length) return "";
  const shown = ids.slice(0, 5).join(", ") + (ids.length > 5 ? ", ..." : "");
  return `${ids.length}: ${shown}${connection.monitors_paused ? " (paused)" : ""}`;
}

function showConnections(bridge) {
  fill(
    byId("who"),
    bridge.who.map((one) => [
      one.name, one.state + (one.last_error ? ` (${one.last_error})` : ""), one.version, one.role,
      [one.received, "n"], [one.sent, "n"], [one.errors_sent, "n"],
      monitors(one),
      one.waiting_for === null ? "" : `xid ${one.waiting_xid}: ${one.waiting_for}`,
    ]),
  );
}

function showFlying(bridge) {
  fill(
    byId("flying"),
    bridge.in_flight.map((one) => [
      one.connection, `0x${one.xid.toString(16)}`,
      `${one.undoing ? "undoing " : ""}${one.kind} in table ${one.table}`,
      [one.count, "n"], [one.age.toFixed(1), "n"],
    ]),
  );
  const waiting = bridge.who.filter((one) => one.waiting_for !== null);
  byId("timeline-text").textContent =
    `${bridge.groups_in_flight} groups in flight; ` +
    (waiting.length
      ? `${waiting[0].name} waits for ${waiting[0].waiting_for}` +
        (waiting.length > 1 ? `, and ${waiting.length - 1} more wait.` : ".")
      : "nobody waits.");
}

function showHardware(bridge) {
  const holder = byId("memory");
  while (holder.children.length > bridge.memory.length) holder.lastChild.remove();
  bridge.memory.forEach((table, place) => {
    let figure = holder.children[place];
    if (!figure) {
      figure = element("figure");
      const canvas = element("canvas", null, "cells");
      canvas.setAttribute("role", "img");
      figure.append(element("figcaption"), canvas);
      holder.append(figure);
    }
    const text =
      `Table ${table.id} ${table.name}: ${table.used} of ${table.size} places in ` +
      `${table.chunks} runs of one priority` + (table.spilled ? `, ${table.spilled} in software` : "");
    figure.firstChild.textContent = text;
    figure.lastChild.setAttribute("aria-label", text);
    drawCells(figure.lastChild, table);
  });
  facts(byId("facts"), Object.entries(bridge.facts));
}

function show(data) {
  latest = data;
  byId("version").textContent = data.version;
  const bridge = bridgeOf(data);
  if (!bridge) return;
  chosen = bridge.name;
  showBridges(data);
  showBridge(bridge);
  showConnections(bridge);
  showFlying(bridge);
  showHardware(bridge);
  timeline.tell(data.time, bridge);
  if (calm.matches) timeline.draw();
}

// --- rules ---------------------------------------------------------------------------------------

/** Asks for a page of rules. */
async function look(offset) {
  if (!chosen) return;
  const words = new URLSearchParams(new FormData(byId("search")));
  asked = { offset, words: words.toString() };
  words.set("offset", offset);
  words.set("limit", PAGE);
  const problem = byId("problem");
  try {
    const answer = await fetch(`api/bridges/${encodeURIComponent(chosen)}/flows?${words}`);
    const data = await answer.json();
    problem.textContent = answer.ok ? "" : data.error;
    if (!answer.ok) return;
    fill(
      byId("found"),
      data.flows.map((flow) => [
        [flow.table, "n"], [flow.priority, "n"], [flow.match || "(any)", "code"],
        [flow.actions, "code"], [flow.cookie, "code"], [flow.packets, "n"], [flow.bytes, "n"],
        [flow.reason ? `${flow.state}: ${flow.reason}` : flow.state, `state-${flow.state}`],
      ]),
    );
    const last = offset + data.flows.length;
    byId("place").textContent = data.flows.length ? `${offset + 1} to ${last}` : "no rules";
    byId("before").disabled = offset === 0;
    byId("after").disabled = !data.more;
  } catch (error) {
    problem.textContent = "the agent does not answer";
  }
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  look(0);
});
byId("before").addEventListener("click", () => look(Math.max(0, asked.offset - PAGE)));
byId("after").addEventListener("click", () => look(asked.offset + PAGE));

// --- what happens --------------------------------------------------------------------------------

function listen() {
  const events = new EventSource("events");
  const live = byId("live");
  let first = true;
  events.addEventListener("message", (event) => {
    live.textContent = "live";
    live.className = "";
    show(JSON.parse(event.data));
    if (first) look(0);
    first = false;
  });
  events.addEventListener("error", () => {
    live.textContent = "the agent does not answer; trying again";
    live.className = "lost";
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  });
}

function animate() {
  if (!calm.matches && !document.hidden) timeline.draw();
  requestAnimationFrame(animate);
}

listen();
requestAnimationFrame(animate);
