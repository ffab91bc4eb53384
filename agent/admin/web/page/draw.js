"use strict";
// Drawings: the timeline of operations, and how full the hardware's tables are.

const WINDOW = 30; // seconds that the timeline shows
const LABEL = 0.16; // the share of its width that names take
const KEPT = 4000; // bars that are remembered

/** A colour of the style sheet. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A canvas's context, with as many pixels as the screen has, cleared; sizes are in CSS pixels. */
function cleared(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** The operations of one bridge: a row for each connection, and a bar for each group. */
class Timeline {
  constructor(canvas) {
    this.canvas = canvas;
    this.bars = new Map();
    this.rows = [];
    this.offset = 0; // the agent's clock less ours
  }

  forget() {
    this.bars.clear();
    this.rows = [];
  }

  /** What the agent says of a bridge, at a time of its own clock. */
  tell(time, bridge) {
    this.offset = time - performance.now() / 1000;
    const alive = new Set();
    for (const group of bridge.in_flight) {
      alive.add(group.key);
      this.put(group.key, group, time - group.age, null, group.undoing ? "undoing" : "flying");
    }
    for (const connection of bridge.who) {
      if (connection.waiting_for !== null) {
        const key = `wait ${connection.name} ${connection.waiting_xid}`;
        const since = connection.waiting_seconds === undefined ? 0 : connection.waiting_seconds;
        alive.add(key);
        this.put(key, { connection: connection.name }, time - since, null, "waiting");
      }
    }
    for (const group of bridge.ended.groups) {
      const key = `${group.key} ${group.xid} ${time - group.age}`;
      this.bars.delete(group.key);
      this.put(key, group, time - group.age, group.age, group.error === null ? "done" : "failed");
    }
    for (const [key, bar] of this.bars) {
      if (bar.end === null && !alive.has(key)) bar.end = time;
      if (bar.end !== null && time - bar.end > WINDOW) this.bars.delete(key);
    }
    while (this.bars.size > KEPT) this.bars.delete(this.bars.keys().next().value);
  }

  put(key, group, begin, length, kind) {
    let row = this.rows.indexOf(group.connection);
    if (row < 0) row = this.rows.push(group.connection) - 1;
    const known = this.bars.get(key);
    const start = known && length === null ? known.begin : begin;
    this.bars.set(key, { row, begin: start, end: length === null ? null : begin + length, kind });
  }

  draw() {
    const { context, width, height } = cleared(this.canvas);
    const now = performance.now() / 1000 + this.offset;
    const left = Math.min(260, width * LABEL);
    const axis = height - 18;
    const rows = Math.max(this.rows.length, 1);
    const step = Math.min(46, axis / rows);
    const at = (time) => left + ((time - now + WINDOW) / WINDOW) * (width - left);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.strokeStyle = colour("line");
    context.fillStyle = colour("soft");
    context.textAlign = "center";
    for (let second = 0; second <= WINDOW; second += 5) {
      const x = at(now - second);
      context.beginPath();
      context.moveTo(x, 0);
      context.lineTo(x, axis);
      context.stroke();
      context.textAlign = second === 0 ? "right" : "center";
      context.fillText(second === 0 ? "now" : `-${second} s`, x, axis + 9);
    }
    context.save();
    context.beginPath();
    context.rect(left, 0, width - left, axis);
    context.clip();
    for (const bar of this.bars.values()) {
      const begin = at(bar.begin);
      const end = Math.max(begin + 1.5, at(bar.end === null ? now : bar.end));
      const top = bar.row * step;
      if (bar.kind === "waiting") {
        context.strokeStyle = colour("waiting");
        context.lineWidth = 1;
        context.strokeRect(begin, top + step * 0.62, end - begin, step * 0.26);
        context.fillStyle = colour("waiting");
        for (let x = begin; x < end; x += 6) context.fillRect(x, top + step * 0.62, 3, step * 0.26);
      } else {
        context.globalAlpha = 0.75;
        context.fillStyle = colour(bar.kind);
        context.fillRect(begin, top + step * 0.14, end - begin, step * 0.4);
        context.globalAlpha = 1;
      }
    }
    context.restore();
    context.textAlign = "left";
    context.fillStyle = colour("text");
    this.rows.forEach((name, row) => {
      const short = name.replace(/^.*<->/, "");
      context.fillText(short, 0, row * step + step / 2, left - 8);
    });
  }
}

/** How full a table of the hardware is: dark where it is full, by priority from top to bottom. */
function drawCells(canvas, table) {
  const { context, width, height } = cleared(canvas);
  const count = table.cells.length;
  const highest = Math.max(1, ...table.priorities);
  context.fillStyle = colour("free");
  context.fillRect(0, 0, width, height);
  table.cells.forEach((taken, cell) => {
    if (!taken) return;
    const x = (cell * width) / count;
    const share = Math.min(1, taken / table.places_per_cell);
    context.fillStyle = colour("flying");
    context.globalAlpha = 0.25 + 0.75 * share;
    const tall = Math.max(3, (height * (table.priorities[cell] + 1)) / (highest + 1));
    context.fillRect(x, height - tall, Math.max(1, width / count), tall);
  });
  context.globalAlpha = 1;
}
