/* What tests/stress/browser.py asks of a page, from inside it. */
"use strict";
window.asked = {
  /* Frames of every map of the viewer. */
  frames: () => JSON.parse(document.getElementById("viewer-index").textContent).map((one) => one.frames.length),

  /* Share of the pixels of the viewer's picture for print that are not background. */
  light: () => {
    const picture = document.getElementById("viewer-print"), canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
    const brush = canvas.getContext("2d");
    brush.drawImage(picture, 0, 0);
    const found = brush.getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0;
    for (let k = 0; k < found.length; k += 4) count += found[k] > 24;
    return count / (found.length / 4);
  },

  /* Height of the page, closed sections and all sections. */
  closed: () => [document.documentElement.scrollHeight, document.querySelectorAll("details.part:not([open])").length,
    document.querySelectorAll("main > section").length],

  /* Open one section. */
  show: (id) => { document.querySelector(`#${id} > details`).open = true; },

  /* Top of a section in the window; whether the table of contents is in the window. */
  place: (id) => document.getElementById(id).getBoundingClientRect().top,
  inView: () => { const box = document.querySelector("nav").getBoundingClientRect(); return box.top >= 0 && box.top < innerHeight; },

  close: () => document.querySelectorAll("details.part").forEach((one) => { one.open = false; }),

  open: () => document.querySelectorAll("details").forEach((one) => { one.open = true; }),

  /* Images: how many, without a text, not loaded. */
  images: async () => {
    const images = [...document.images].filter((one) => one.id !== "viewer-print");
    for (const one of images) one.loading = "eager";
    await Promise.allSettled(images.map((one) => one.decode()));
    return [images.length, images.filter((one) => !one.alt.trim()).length, images.filter((one) => !one.naturalWidth).length];
  },

  /* Links within the page: how many, and those that lead nowhere. */
  links: () => {
    const links = [...document.querySelectorAll('a[href^="#"]')].map((one) => one.getAttribute("href").slice(1));
    return [links.length, links.filter((name) => !document.getElementById(name))];
  },

  /* Every heading clicked twice: what a person then reads in the column goes up, then down; what is missing comes last. */
  sort: () => {
    const wrong = [];
    let count = 0;
    const parsed = (text) => {
      const found = text.replaceAll("\u2212", "-").replaceAll(",", "").match(/^[<>=\s]*(-?[\d.]+(e[-+]?\d+)?|-?inf)/i);
      return found ? Number(found[1].replace(/inf/i, "Infinity")) : NaN;
    };
    for (const table of document.querySelectorAll("table.sortable")) {
      [...table.tHead.querySelectorAll("th")].forEach((head, k) => {
        const numeric = head.classList.contains("number");
        for (const sign of [1, -1]) {
          (head.querySelector("button") ?? head).click();
          const texts = [...table.tBodies[0].rows].map((row) => row.cells[k].textContent.trim());
          const missing = texts.map((text) => (numeric ? Number.isNaN(parsed(text)) : text === "n/a"));
          const there = texts.filter((_, i) => !missing[i]);
          const compare = numeric ? (a, b) => parsed(a) - parsed(b)
            : (a, b) => a.localeCompare(b, "en", { numeric: true });
          const right = head.getAttribute("aria-sort") === (sign > 0 ? "ascending" : "descending")
            && there.every((text, i) => i === 0 || sign * compare(there[i - 1], text) <= 0)
            && missing.lastIndexOf(false) <= there.length - 1;
          count += 1;
          if (!right) wrong.push(`${table.closest("[id]")?.id} ${head.textContent.trim()} ${sign > 0 ? "up" : "down"}`);
        }
      });
    }
    return [count, wrong];
  },

  width: () => document.documentElement.scrollWidth,

  /* What is wider than the window and not inside a box that scrolls. */
  wide: () => [...document.querySelectorAll("body *")].filter((one) => {
    if (!one.offsetParent || one.getBoundingClientRect().right <= document.documentElement.clientWidth + 1) return false;
    for (let box = one.parentElement; box; box = box.parentElement) {
      if (box !== document.documentElement && getComputedStyle(box).overflowX !== "visible") return false;
    }
    return true;
  }).map((one) => `${one.tagName.toLowerCase()}#${one.closest("[id]")?.id}`),

  /* Visible tables: how many, and those that paper would cut off. */
  clipped: () => {
    const edge = document.documentElement.clientWidth + 1;
    const tables = [...document.querySelectorAll("table")].filter((one) => one.offsetParent);
    const cut = tables.filter((table) => {
      if (table.getBoundingClientRect().right > edge) return true;
      for (let box = table; box && box !== document.body; box = box.parentElement) {
        if (getComputedStyle(box).overflowX !== "visible" && box.scrollWidth > box.clientWidth + 1) return true;
      }
      return false;
    });
    return [tables.length, cut.map((table) => table.closest("[id]")?.id ?? "table")];
  },
};
