// Tables sort by a click on a heading, galleries by a choice; texts go into the page as text only.
"use strict";
const BAD = /^(FLAGGED|NOT TESTED|not there|collapsed|untrained|diverged|overfit)/; // as page.flagged
for (const holder of document.querySelectorAll(".table")) {
  const body = holder.querySelector("tbody"), heads = [...holder.querySelectorAll("th")];
  const kinds = heads.map((head) => head.className);
  const count = holder.querySelector(".count"), all = holder.querySelector(".all");
  let rows = null, first = body.rows.length;

  const read = () => (rows ??= JSON.parse(holder.querySelector(".rows").textContent));
  const draw = () => {
    body.replaceChildren(...read().slice(0, first).map((row) => {
      const line = document.createElement("tr");
      row.forEach(([text, value], k) => {
        const cell = line.insertCell();
        cell.textContent = text;
        cell.className = kinds[k] === "mark" && BAD.test(text) ? "mark bad" : kinds[k];
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
for (const gallery of document.querySelectorAll(".gallery")) {
  const order = gallery.querySelector(".order"), down = gallery.querySelector(".down"), cards = gallery.querySelector(".cards");
  if (!order) continue;
  const sort = () => {
    const value = (card) => JSON.parse(card.dataset.values)[order.value] ?? null;
    const way = down.checked ? -1 : 1;
    const sorted = [...cards.children].sort((a, b) => {
      const x = value(a), y = value(b);
      return x === null || y === null ? (x === null) - (y === null) : way * (x - y);
    });
    cards.replaceChildren(...sorted);
  };
  order.addEventListener("change", sort);
  down.addEventListener("change", sort);
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
