"use strict";

// Tables: a click on a header sorts the parts; the summaries stay on top.
for (const table of document.querySelectorAll("table.figures")) {
  const body = table.querySelector("tbody.parts");
  for (const head of table.querySelectorAll("th[data-column]")) {
    head.querySelector("button").addEventListener("click", () => {
      const isText = head.classList.contains("text");
      const first = isText ? "ascending" : "descending";
      const second = isText ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? second : first;
      for (const other of table.querySelectorAll("th[aria-sort]")) {
        other.removeAttribute("aria-sort");
      }
      head.setAttribute("aria-sort", order);
      if (body) sort(body, Number(head.dataset.column), isText, order === "ascending" ? 1 : -1);
    });
  }
}

function sort(body, column, isText, sign) {
  const keys = new Map();
  for (const row of body.rows) {
    const cell = row.cells[column];
    const text = isText ? cell.textContent : cell.dataset.value;
    keys.set(row, text === undefined || text === "" ? null : isText ? text : Number(text));
  }
  const rows = Array.from(body.rows);
  // Array.sort is stable. What is missing comes last in both orders.
  rows.sort((a, b) => {
    const x = keys.get(a);
    const y = keys.get(b);
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (isText ? x.localeCompare(y, "en") : x - y);
  });
  body.append(...rows);
}

// Heat maps: what the cell is that is pointed at, or that the arrow keys have come to.
const readout = document.getElementById("readout");
const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

for (const cells of document.querySelectorAll("svg.cells")) {
  const size = Number(cells.dataset.cell);
  const sources = JSON.parse(cells.dataset.sources);
  const targets = JSON.parse(cells.dataset.targets);
  const values = JSON.parse(cells.dataset.values);
  const cursor = cells.querySelector(".cursor");
  let row = 0;
  let column = 0;

  const show = () => {
    const value = values[row * targets.length + column] || "–";
    readout.textContent = `${sources[row]} > ${targets[column]} ${value.replace("-", "−")}`;
    readout.hidden = false;
    cursor.setAttribute("x", column * size);
    cursor.setAttribute("y", row * size);
    cursor.setAttribute("visibility", "visible");
    const box = cursor.getBoundingClientRect();
    const right = document.documentElement.clientWidth - readout.offsetWidth - 4;
    const below = box.bottom + 6;
    const fits = below + readout.offsetHeight < window.innerHeight;
    readout.style.left = `${Math.max(4, Math.min(box.left, right))}px`;
    readout.style.top = `${fits ? below : box.top - readout.offsetHeight - 6}px`;
  };
  const hide = () => {
    readout.hidden = true;
    cursor.setAttribute("visibility", "hidden");
  };
  const point = (event) => {
    const box = cells.getBoundingClientRect();
    row = clamp(Math.floor((event.clientY - box.top) / size), sources.length);
    column = clamp(Math.floor((event.clientX - box.left) / size), targets.length);
    show();
  };
  cells.addEventListener("pointermove", point);
  cells.addEventListener("pointerdown", point);
  cells.addEventListener("pointerleave", hide);
  cells.addEventListener("blur", hide);
  cells.addEventListener("focus", () => {
    if (cells.matches(":focus-visible")) show();
  });
  cells.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    row = clamp(row + step[0], sources.length);
    column = clamp(column + step[1], targets.length);
    cursor.setAttribute("x", column * size);
    cursor.setAttribute("y", row * size);
    cursor.setAttribute("visibility", "visible");
    cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
    show();
  });
}

function clamp(index, length) {
  return Math.min(Math.max(index, 0), length - 1);
}
