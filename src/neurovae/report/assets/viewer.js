/* The report's 3-D viewer: a decoded brain with a change laid over it, drawn by NiiVue from data in this page.
   Every map has one form: the model's centre (int16, OUTSIDE = not in the mask) and a change per frame (int8). */
"use strict";
(() => {
  const OUTSIDE = -32768;
  const POSITIVE = [[213, 94, 0], [240, 170, 50], [255, 240, 160]];
  const NEGATIVE = [[0, 90, 178], [70, 170, 233], [205, 242, 255]];
  const STEP = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowDown: [0, -1, 0], ArrowUp: [0, 1, 0],
    PageDown: [0, 0, -1], PageUp: [0, 0, 1] };
  const at = (id) => document.getElementById(`viewer-${id}`);
  const root = document.getElementById("viewer");
  if (!root || !at("canvas")) return;
  const held = (id) => JSON.parse(at(id).textContent);
  const maps = held("index");
  let nv, map, back, over, base, slice, drawn = 0;

  const ramp = (colours) => ({ A: [0, 255, 255, 255], I: [0, 1, 128, 255], // 0 itself is transparent
    ...Object.fromEntries([..."RGB"].map((name, k) => [name, [0, 0, 1, 2].map((point) => colours[point][k])])) });
  const image = (base64, more) => niivue.NVImage.loadFromBase64({ base64, ...more });
  const minus = (text) => text.replace("-", "\u2212");
  const number = (value) => (value === 0 ? "0" : minus(value.toPrecision(3)));

  /* Decode a map, and its model's centre where the model is another one, and draw its first frame. */
  async function choose() {
    const chosen = maps[Number(at("map").value)];
    root.setAttribute("aria-busy", "true");
    const other = !map || map.centre !== chosen.centre;
    const newBack = other ? await image(held(`centre-${chosen.centre}`), { name: "centre.nii.gz", colormap: "gray",
      cal_min: chosen.grey[0], cal_max: chosen.grey[1] }) : back;
    const newOver = await image(held(`change-${chosen.id}`), { name: "change.nii.gz", colormap: "nv_positive",
      colormapNegative: "nv_negative" });
    if (chosen !== maps[Number(at("map").value)]) return; // another one was chosen meanwhile
    if (over) nv.removeVolume(over);
    if (other && back) nv.removeVolume(back);
    [map, back, over] = [chosen, newBack, newOver];
    if (other) { base = back.img.slice(); nv.addVolume(back); }
    over.colormapType = 1; // colours from 0 to the largest, transparent below the threshold
    nv.addVolume(over);
    slice = back.dims[1] * back.dims[2] * back.dims[3];
    const frame = at("frame");
    [frame.max, frame.value, frame.disabled] = [map.frames.length - 1, map.start, map.frames.length < 2];
    at("opacity").value = map.shown ? 80 : 0;
    at("threshold").value = map.shown ? 30 : 0;
    at("low").textContent = number(-map.limit);
    at("high").textContent = number(map.limit);
    at("unit").textContent = map.unit;
    at("file").textContent = map.file;
    nv.scene.crosshairPos = nv.mm2frac(map.peak);
    walk();
    root.setAttribute("aria-busy", "false");
  }

  /* The brain of this frame: the centre plus the change, both in units of the centre's step. */
  function walk() {
    const frame = Number(at("frame").value);
    const ratio = map.adds ? over.hdr.scl_slope / back.hdr.scl_slope : 0;
    for (let k = 0; k < slice; k++) {
      const value = Math.round(base[k] + ratio * over.img[frame * slice + k]);
      back.img[k] = base[k] === OUTSIDE ? OUTSIDE : Math.max(-32767, Math.min(32767, value));
    }
    over.frame4D = frame;
    at("label").textContent = map.frames[frame];
    at("frame").setAttribute("aria-valuetext", map.frames[frame]);
    show();
  }

  function show() {
    const share = Number(at("threshold").value) / 100;
    over.cal_max = map.limit;
    over.cal_min = Math.max(share, 0.005) * map.limit;
    over.opacity = Number(at("opacity").value) / 100;
    at("share").textContent = `${at("opacity").value} %`;
    at("cut").textContent = `|change| \u2265 ${number(share * map.limit)}`;
    nv.updateGLVolume();
    describe();
    root.dataset.drawn = ++drawn;
  }

  /* Where the crosshair is, and what is there. */
  function describe() {
    if (!over) return;
    const mm = nv.frac2mm(nv.scene.crosshairPos);
    const [x, y, z] = back.mm2vox([mm[0], mm[1], mm[2]]);
    const place = `x ${minus(mm[0].toFixed(0))}, y ${minus(mm[1].toFixed(0))}, z ${minus(mm[2].toFixed(0))} mm (MNI)`;
    const k = x + back.dims[1] * (y + back.dims[2] * z);
    const volume = back.img[k] * back.hdr.scl_slope + back.hdr.scl_inter;
    const change = over.img[over.frame4D * slice + k] * over.hdr.scl_slope;
    at("value").textContent = back.img[k] === OUTSIDE ? `${place}: outside the mask`
      : `${place}: decoded intensity ${number(volume)}, change ${number(change)}`;
  }

  function move(event) {
    if (!STEP[event.key] || !over) return;
    event.preventDefault();
    event.stopImmediatePropagation(); // NiiVue walks frames of the background with these keys
    nv.moveCrosshairInVox(...STEP[event.key]);
    describe();
  }

  /* A canvas prints as it was drawn last, which may be nothing; an image prints. */
  function still() {
    if (!over) return;
    nv.drawScene();
    const picture = at("print") || root.appendChild(Object.assign(new Image(), { id: "viewer-print" }));
    picture.alt = `${at("map").selectedOptions[0].textContent}, ${at("label").textContent}`;
    picture.src = at("canvas").toDataURL("image/png");
  }

  async function start() {
    const canvas = at("canvas");
    if (!document.createElement("canvas").getContext("webgl2")) { root.classList.add("without"); return; }
    canvas.addEventListener("keydown", move, { capture: true });
    nv = new niivue.Niivue({ logLevel: "error", dragAndDropEnabled: false, scrollRequiresFocus: true, loadingText: "",
      backColor: [0, 0, 0, 1], crosshairColor: [0, 0.62, 0.45, 1], crosshairWidth: 0.25, multiplanarForceRender: true,
      multiplanarLayout: niivue.MULTIPLANAR_TYPE.GRID, multiplanarPadPixels: 4, showAllOrientationMarkers: true,
      fontColor: [0.85, 0.85, 0.85, 1], dragMode: niivue.DRAG_MODE.none, viewModeHotKey: "", clipPlaneHotKey: "",
      cycleClipPlaneHotKey: "" });
    nv.addColormap("nv_positive", ramp(POSITIVE));
    nv.addColormap("nv_negative", ramp(NEGATIVE));
    nv.onLocationChange = describe;
    await nv.attachToCanvas(canvas);
    at("map").addEventListener("change", choose);
    at("frame").addEventListener("input", walk);
    for (const id of ["threshold", "opacity"]) at(id).addEventListener("input", show);
    window.addEventListener("beforeprint", still);
    await choose();
  }

  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    start().catch((error) => { at("value").textContent = `The viewer failed: ${error.message}`; console.error(error); });
  }, { rootMargin: "300px" }).observe(root);
})();
