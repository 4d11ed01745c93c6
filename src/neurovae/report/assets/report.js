// Tables sort by a click on a heading, sections open by their links; texts stay texts.
"use strict";
for (const holder of document.querySelectorAll(".table")) {
  const body = holder.querySelector("tbody"), heads = [...holder.querySelectorAll("th")];
  const kinds = heads.map((head) => head.className);
  const count = holder.querySelector(".count"), all = holder.querySelector(".all");
  let rows = null, first = body.rows.length;

  const read = () => (rows ??= JSON.parse(holder.querySelector(".rows").textContent));
  const draw = () => {
    body.replaceChildren(...read().slice(0, first).map((row) => {
      const line = document.createElement("tr");
      row.forEach(([text, value, bad], k) => {
        const cell = line.insertCell();
        cell.textContent = text;
        cell.className = bad ? "mark bad" : kinds[k];
        if (kinds[k] === "number") cell.dataset.value = value ?? "";
      });
      return line;
    }));
    if (count) count.textContent = first < rows.length ? `first ${first} of ${rows.length} rows` : `${rows.length} rows`;
  };
  heads.forEach((head, k) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const way = down ? -1 : 1;
    read().sort(([...a], [...b]) => {
      const x = a[k][1], y = b[k][1];
      if (x === null || y === null) return (x === null) - (y === null); // missing last, either way
      return way * (kinds[k] === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
    });
    draw();
  }));
  all?.addEventListener("click", () => { first = read().length; draw(); all.remove(); });
}
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const place = document.getElementById(button.dataset.from);
    try {
      await navigator.clipboard.writeText(place.innerText);
      button.textContent = "copied";
    } catch { // a page opened from a file may not reach the clipboard: select it, to be copied by hand
      getSelection().selectAllChildren(place);
      button.textContent = "selected: copy with Ctrl+C";
    }
  });
}

/* Sections are closed until opened: by their heading, by a link to them, or all at once. */
const parts = [...document.querySelectorAll("details.part")];
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const reveal = () => {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!place) return;
  for (const box of place.matches("section") ? place.querySelectorAll(":scope > details") : []) box.open = true;
  for (let box = place.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  place.scrollIntoView();
};
addEventListener("hashchange", reveal);
for (const link of links.values()) link.addEventListener("click", () => { if (link.hash === location.hash) reveal(); });
const every = document.querySelector("button.every");
every?.addEventListener("click", () => {
  const open = parts.some((part) => !part.open);
  for (const part of parts) part.open = open;
  every.textContent = open ? "close all" : "open all";
});
const visible = new Set();
const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) visible[isIntersecting ? "add" : "delete"](target.id);
  const current = [...links.keys()].find((id) => visible.has(id));
  for (const link of links.values()) link.removeAttribute("aria-current");
  links.get(current)?.setAttribute("aria-current", "true");
}, { rootMargin: "-5% 0px -60% 0px" });
for (const section of document.querySelectorAll("main > section")) watch.observe(section);
if (location.hash) reveal();
