// One canvas for all panels. A scene (scenes.js) turns the state of knobs and handles into squares full of layers; here
// they are drawn, dragged and said in words. The model keeps the state: anywidget's in a notebook, where sliders are
// linked to it in the browser, and a plain one on a page (panels.js).
const M = mathematics(), MOVING = 450, QUIET = 700  // ms: of a change of state; until the words are read out
const LIGHT = { ink: "#222222", data: "#3D5A78", noise: "#858585", flow_matching: "#0072B2", mean_flow: "#D55E00",
                improved_mean_flow: "#E69F00", self_distilled_mean_flow: "#009E73", distilled_mean_flow: "#882255",
                pale: "#E8A87C", ground: "#ffffff" }
const DARK = { ink: "#ececec", data: "#9DBBD8", noise: "#9a9a9a", flow_matching: "#56B4E9", mean_flow: "#F08A3C",
               improved_mean_flow: "#F5C04A", self_distilled_mean_flow: "#35CBA0", distilled_mean_flow: "#DD85B3",
               pale: "#8A5A3A", ground: "#1b1b1b" }
const AROUND = ["1e8fee", "7a7cf0", "ac6ad8", "cd5cac", "de5774", "de602f", "bf7b0f", "9f8d0e", "699f08", "16a56e", "04a19b", "0a9cbc",
                "1e8fee"].map(hex => [0, 2, 4].map(i => parseInt(hex.slice(i, i + 2), 16)))  // as plots.AROUND
const CIVIDIS = [[0, 32, 77], [66, 77, 109], [124, 123, 120], [187, 173, 108], [255, 234, 70]]
const WHEEL = 36, RINGS = 5  // the colours of a place: of its direction, dark near the middle and pale far out

const between = (stops, share) => {
  const k = Math.min(stops.length - 2, Math.floor(share * (stops.length - 1))), rest = share * (stops.length - 1) - k
  return stops[k].map((low, i) => Math.round(low + rest * (stops[k + 1][i] - low)))
}

// Which colours suit the text around the panel: light text stands on a dark ground.
function paletteOf(el) {
  const [red, green, blue] = getComputedStyle(el).color.match(/[\d.]+/g).map(Number)
  const dark = red + green + blue > 380, lift = dark ? 0.25 : 0
  const shade = (part, k) => k < 0 ? part * (1 + k) : part + k * (255 - part)
  const place = [-0.5, -0.25, 0, 0.2, 0.4].flatMap(k => Array.from({ length: WHEEL }, (_, i) =>
    `rgb(${between(AROUND, i / WHEEL).map(part => shade(shade(part, k), lift))})`))
  return { ...dark ? DARK : LIGHT, place, dark }
}

const direction = (x, y) => Math.floor((Math.atan2(y, x) / (2 * Math.PI) + 0.5) * WHEEL) % WHEEL
const ring = (x, y) => Math.max(0, Math.min(RINGS - 1, Math.floor((Math.hypot(x, y) - 0.05) / 2.5 * RINGS)))

// Each layer's `xy` is one flat array of numbers, so that any two states of it can be mixed.
const LAYERS = {
  points({ pen, at, palette }, { xy, color, place, size = 1.5, alpha = 0.8 }) {  // of one colour, or each by a place
    pen.globalAlpha = alpha
    const colours = place ? palette.place : [palette[color] ?? palette.ink], buckets = colours.map(() => new Path2D())
    for (let i = 0; i < xy.length; i += 2) {
      const [x, y] = at(xy[i], xy[i + 1])
      const path = buckets[place ? direction(place[i], place[i + 1]) + WHEEL * ring(place[i], place[i + 1]) : 0]
      path.moveTo(x + size, y)
      path.arc(x, y, size, 0, 7)
    }
    buckets.forEach((path, i) => { pen.fillStyle = colours[i]; pen.fill(path) })
  },
  lines({ pen, at, palette }, { xy, color, width = 1.5, alpha = 1 }) {  // NaN lifts the pen
    const alphas = alpha.length ? alpha : [alpha]
    pen.strokeStyle = palette[color] ?? palette.ink
    pen.lineWidth = width
    pen.beginPath()
    for (let i = 0, line = 0, down = false; i <= xy.length; i += 2) {
      const lifted = !(xy[i] === xy[i] && i < xy.length)
      if (lifted && (alphas.length > 1 || i >= xy.length)) {
        pen.globalAlpha = alphas[line++ % alphas.length]
        pen.stroke()
        pen.beginPath()
      }
      if (!lifted) pen[down ? "lineTo" : "moveTo"](...at(xy[i], xy[i + 1]))
      down = !lifted
    }
  },
  arrows({ pen, at, palette }, { xy, color, width = 2, alpha = 1, short = 0 }) {  // x, y, dx, dy; `short` of a handle
    pen.globalAlpha = alpha
    pen.strokeStyle = pen.fillStyle = palette[color] ?? palette.ink
    pen.lineWidth = width
    const shafts = new Path2D(), heads = new Path2D()
    for (let i = 0; i < xy.length; i += 4) {
      const [x, y] = at(xy[i], xy[i + 1]), [tipX, tipY] = at(xy[i] + xy[i + 2], xy[i + 1] + xy[i + 3])
      const full = Math.hypot(tipX - x, tipY - y), length = full - short, head = Math.min(3 + 2 * width, 0.7 * length)
      if (!(length > 0.5)) continue
      const [a, b] = [x + (tipX - x) * length / full, y + (tipY - y) * length / full]
      const [p, q] = [(a - x) / length * head, (b - y) / length * head]
      shafts.moveTo(x, y)
      shafts.lineTo(a - p * 0.8, b - q * 0.8)
      heads.moveTo(a, b)
      heads.lineTo(a - p - q / 2.2, b - q + p / 2.2)
      heads.lineTo(a - p + q / 2.2, b - q - p / 2.2)
      heads.closePath()
    }
    pen.stroke(shafts)
    pen.fill(heads)
  },
  tiles({ pen, at }, { xy, view, highest = 1 }) {  // n × n values over a view, row by row from below
    const side = Math.round(Math.sqrt(xy.length))
    paintPixels(pen, side, side, i => {
      const value = xy[(side - 1 - Math.floor(i / side)) * side + i % side]
      return value === value ? [...between(CIVIDIS, Math.min(1, Math.max(0, value / highest))), 255] : [0, 0, 0, 0]
    }, ...at(view[0], view[3]), ...at(view[1], view[2]))
  },
  images({ pen, at, palette }, { xy, side, columns }) {  // grey images with pixels in [−1, 1], ink is 1
    const ink = palette.dark ? [236, 236, 236] : [20, 20, 20]
    for (let k = 0; k * side * side < xy.length; k++) {
      const left = k % columns * (side + 1), top = -Math.floor(k / columns) * (side + 1)
      paintPixels(pen, side, side, i => [...ink, (xy[k * side * side + i] + 1) * 127.5],
                  ...at(left, top), ...at(left + side, top - side))
    }
  },
  text({ pen, at, palette }, { xy, text, color = "ink", shift = [8, -8] }) {
    const [x, y] = at(...xy)
    pen.globalAlpha = 1
    pen.fillStyle = palette[color]
    pen.font = "italic 16px serif"
    pen.textAlign = Math.abs(shift[0]) < 2 ? "center" : shift[0] < 0 ? "right" : "left"
    pen.fillText(text, x + shift[0], y + shift[1])
  },
}

function paintPixels(pen, wide, high, colorOf, left, top, right, bottom) {
  const image = new ImageData(wide, high)
  for (let i = 0; i < wide * high; i++) image.data.set(colorOf(i), 4 * i)
  const buffer = new OffscreenCanvas(wide, high)
  buffer.getContext("2d").putImageData(image, 0, 0)
  pen.imageSmoothingEnabled = false
  pen.globalAlpha = 1
  pen.drawImage(buffer, left, top, right - left, bottom - top)
}

// What takes long is computed by a worker, which rests when there is nothing to do; where none may run, here.
const jobs = new Map(), here = { postMessage: job => setTimeout(() => finish(answer(job))), terminate() {} }
let thread = null, count = 0, idle = 0
function answer([id, request]) {
  try { return [id, M.carried(request)] } catch (error) { return [id, null, String(error)] }
}
function finish([id, result, error]) {
  if (error) console.error(error)
  jobs.get(id)?.then(result)
  jobs.delete(id)
  clearTimeout(idle)
  idle = setTimeout(() => { if (!jobs.size) thread = thread?.terminate() }, 5000)
}
function makeThread() {
  try {
    const made = new Worker(URL.createObjectURL(new Blob([`const M = (${mathematics})()\n${answer}
      onmessage = ({ data }) => postMessage(answer(data))`])))
    made.onmessage = ({ data }) => finish(data)
    made.onerror = () => { thread = here; for (const [id, { request }] of jobs) here.postMessage([id, request]) }
    return made
  } catch { return here }
}
function inBackground(request, then) {
  jobs.set(++count, { request, then })
  thread ??= makeThread()
  thread.postMessage([count, request])
}

// later(slot, key, request): the result if it is there, else what was there before for this slot, until the new one comes.
function laterOn(stage, done) {
  const results = new Map(), latest = new Map(), busy = new Set(), wanted = new Map()
  function compute(slot) {
    const [full, request] = wanted.get(slot)
    stage.ariaBusy = busy.add(slot).size > 0
    inBackground(request(), result => {
      if (results.size > 80) results.delete(results.keys().next().value)
      results.set(full, result)
      busy.delete(slot)
      stage.ariaBusy = busy.size > 0
      if (wanted.get(slot)[0] != full) compute(slot)
      done()
    })
  }
  return (slot, key, request) => {
    const full = `${slot} ${key}`
    wanted.set(slot, [full, request])
    if (results.has(full)) latest.set(slot, full)
    else if (!busy.has(slot)) compute(slot)
    return results.get(latest.get(slot))
  }
}

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

// One square: a title, a canvas, and handles, which are elements of their own, for the keyboard and for those who cannot see
// them. now(): what it shows at the moment; set(changes) of the state.
function makeSquare(now, state, set) {
  const canvas = element("canvas", { role: "img" }), title = element("div", { className: "mf-title" }), handles = []
  const frame = element("div", { className: "mf-frame" }, canvas), whole = element("div", { className: "mf-square" }, title, frame)
  const within = ([x, y], [left, right, low, high]) => [Math.min(right, Math.max(left, x)), Math.min(high, Math.max(low, y))]
  function place(event) {
    const { left, top, width, height } = canvas.getBoundingClientRect(), view = now().view
    return within([view[0] + (event.clientX - left) / width * (view[1] - view[0]),
                   view[3] - (event.clientY - top) / height * (view[3] - view[2])], view)
  }
  function follow(event, changes) {
    const target = event.currentTarget, { pointerId } = event
    if (event.button || target.onpointermove) return  // another button, a second finger
    event.preventDefault()
    target.setPointerCapture(pointerId)
    target.onpointermove = event => { if (event.pointerId == pointerId) set(changes(...place(event), false)) }
    target.onpointerup = target.onpointercancel = () => { target.onpointermove = null }
    set(changes(...place(event), true))
  }
  function hold(j, event) {
    follow(event, (x, y) => now().handles[j].move(x, y))
    handles[j].focus({ preventScroll: true })
  }
  canvas.onpointerdown = event => {  // the nearest handle comes; a finger scrolls, unless it is on the handle itself
    const { stroke, handles = [] } = now(), [x, y] = place(event), far = handles.map(({ at }) => Math.hypot(at[0] - x, at[1] - y))
    if (stroke) follow(event, (x, y, first) => now().stroke(state(), x, y, first))
    else if (far.length && event.pointerType != "touch") hold(far.indexOf(Math.min(...far)), event)
  }
  function makeHandle(j) {
    const knob = element("div", { className: "mf-handle", tabIndex: 0, role: "slider", onpointerdown: event => hold(j, event) })
    knob.onkeydown = event => {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], Home: [-9, 0], End: [9, 0],
                      PageUp: [0, 9], PageDown: [0, -9] }[event.key]
      if (!steps) return
      event.preventDefault()
      const { at, step, nudge, move } = now().handles[j], view = now().view
      const unit = step ?? (view[1] - view[0]) * (event.shiftKey ? 0.1 : 0.02)
      set(nudge ? nudge(steps[0] + steps[1]) : move(...within(at.map((part, axis) => part + unit * steps[axis]), view)))
    }
    frame.append(knob)
    return knob
  }
  function dress(palette) {
    const { view, color, note = "", share = 1, stroke, alt, title: text, handles: given = [] } = now()
    title.replaceChildren(element("span", { textContent: text }), element("span", { textContent: note }))
    title.style.setProperty("--dot", color ? palette[color] ?? palette.ink : "transparent")
    whole.style.setProperty("--share", share)
    canvas.style.aspectRatio = (view[1] - view[0]) / (view[3] - view[2])
    canvas.classList.toggle("mf-draws", !!stroke)
    canvas.ariaLabel = alt ?? text
    given.forEach(({ name, at: [x, y], color = "ground", says }, j) => {
      const knob = handles[j] ??= makeHandle(j)
      knob.style.left = `${100 * (x - view[0]) / (view[1] - view[0])}%`
      knob.style.top = `${100 * (view[3] - y) / (view[3] - view[2])}%`
      knob.style.setProperty("--fill", palette[color] ?? color)
      Object.assign(knob, { ariaLabel: name, ariaValueMin: view[0], ariaValueMax: view[1], ariaValueNow: x.toFixed(2),
                            ariaValueText: says ?? `x ${x.toFixed(2)}, y ${y.toFixed(2)}` })
    })
  }
  function draw(layers, palette) {
    const { view } = now(), { clientWidth: wide, clientHeight: high } = canvas, sharp = window.devicePixelRatio || 1
    const size = [wide, high].map(side => Math.round(side * sharp)), pen = canvas.getContext("2d")
    if (canvas.width != size[0] || canvas.height != size[1]) [canvas.width, canvas.height] = size
    const at = (x, y) => [(x - view[0]) / (view[1] - view[0]) * wide, (view[3] - y) / (view[3] - view[2]) * high]
    pen.setTransform(sharp, 0, 0, sharp, 0, 0)
    pen.clearRect(0, 0, wide, high)
    for (const layer of layers) LAYERS[layer.as]({ pen, at, palette }, { view, ...layer })
  }
  return { whole, dress, draw }
}

// Cells to choose from, rows by columns, the lower their number the darker; those that were not made are empty.
function fillMatrix(matrix, { rows, columns, texts }, chosen, choose) {
  if (!matrix.firstChild) {
    const cells = texts.map((_, k) => element("button", { type: "button", onclick: () => choose(k) }))
    matrix.style.setProperty("--columns", columns.length)
    matrix.append(element("span"), ...columns.map(text => element("span", { textContent: text })),
      ...rows.flatMap((text, i) => [element("span", { className: "mf-row", textContent: text }),
                                    ...cells.slice(i * columns.length, (i + 1) * columns.length)]))
  }
  const logs = texts.map(text => Math.log(parseFloat(text) + 1e-9)), known = logs.filter(isFinite)
  const low = Math.min(...known), range = Math.max(...known) - low || 1
  matrix.querySelectorAll("button").forEach((button, k) => {
    const label = `${rows[Math.floor(k / columns.length)]}, ${columns[k % columns.length]}: ${texts[k] ?? "not made"}`
    Object.assign(button, { textContent: texts[k] ?? "·", disabled: texts[k] == null, ariaPressed: chosen == k,
                            title: label, ariaLabel: label })
    button.style.setProperty("--shade", `${texts[k] == null ? 0 : 45 * (1 - (logs[k] - low) / range)}%`)
  })
}

function render({ model, el }) {
  const spec = model.get("spec"), stage = element("div", { className: "mf-stage" }), said = element("p", { className: "mf-words" })
  const aloud = element("p", { className: "mf-aloud", ariaLive: "polite" }), matrix = element("div", { className: "mf-matrix" })
  const play = element("button", { className: "mf-play", type: "button", hidden: !spec.play, onclick: () => run(!timer) })
  const foot = element("div", { className: "mf-foot" }, play, said)
  el.classList.add("mf-panel")
  el.append(matrix, stage, foot, aloud)
  const scene = SCENES[spec.scene](decoded(spec.data), {
    later: laterOn(stage, () => soon(glide)), shared: name => spec.shared?.[name] ?? model.fetched?.(name, () => soon(glide)) })
  const state = () => Object.fromEntries(Object.keys(spec.state).map(key => [key, model.get(key)]))
  function set(changes) {
    for (const [key, value] of Object.entries(changes)) model.set(key, value)
    model.save_changes()
  }

  // Drawing: `drawn` is what is on the squares now, `goal` what the state asks for.
  const parts = []
  let squares = [], drawn = [], goal = [], frame = 0, palette = null
  function ask(moving) {
    if (!palette) return  // not yet in sight
    const { squares: next, words, cells, buttons = {} } = scene(state())
    squares = next.map(square => ({ view: [-3, 3, -3, 3], ...square }))
    goal = squares.map(square => square.layers.filter(layer => layer?.xy))
    squares.forEach((_, i) => {
      if (!parts[i]) stage.append((parts[i] = makeSquare(() => squares[i], state, set)).whole)
      parts[i].dress(palette)
    })
    if (cells) fillMatrix(matrix, cells, model.get(cells.key), k => set({ [cells.key]: k }))
    for (const [text, changes] of Object.entries(buttons)) {
      const button = foot.querySelector(`[name="${text}"]`)
        ?? foot.insertBefore(element("button", { type: "button", name: text, textContent: text }), said)
      button.onclick = () => set(changes)
    }
    said.textContent = words
    clearTimeout(aloud.timer)
    if (aloud.textContent != words) aloud.timer = setTimeout(() => { aloud.textContent = words }, QUIET)
    cancelAnimationFrame(frame)
    if (moving && !matchMedia("(prefers-reduced-motion: reduce)").matches) return move(drawn, performance.now())
    put(goal)
  }
  function move(from, start) {
    frame = requestAnimationFrame(now => {
      const share = Math.min(1, (now - start) / MOVING), eased = share * share * (3 - 2 * share)
      put(share < 1 ? goal.map((layers, i) => layers.map((layer, j) => mixed(from[i]?.[j], layer, eased))) : goal)
      if (share < 1) move(from, start)
    })
  }
  function put(layers) {
    drawn = layers
    layers.forEach((some, i) => parts[i].draw(some, palette))
  }

  // Play, where an order is a time: through the options of a knob, or down from 1 to 0; at the end it rests.
  let timer = 0
  function run(on) {
    clearInterval(timer)
    const options = spec.knobs.find(knob => knob.key == spec.play)?.options, last = options ? options.length - 1 : 0
    if (on && model.get(spec.play) == last) set({ [spec.play]: options ? 0 : 1 })
    timer = on ? setInterval(() => {
      const now = model.get(spec.play)
      if (now == last) run(false)
      else set({ [spec.play]: options ? now + 1 : Math.max(0, now - 0.01) })
    }, options ? 900 : 40) : 0
    play.textContent = on ? "❚❚ pause" : "▶ play"
  }
  run(false)

  // A change glides if it is one of options and no other came just before; what is dragged follows at once.
  const glides = new Set([...spec.glide, ...spec.knobs.filter(knob => knob.options).map(knob => knob.key)]), due = new Set()
  let before = {}, last = 0
  function changed() {
    const now = state(), keys = Object.keys(now).filter(key => now[key] !== before[key]), time = performance.now()
    if (!keys.length) return
    const moving = time - last > 150 && keys.every(key => glides.has(key))
    before = now
    last = time
    ask(moving)
  }
  function glide() { ask(true) }
  function refresh() {
    if (!stage.clientWidth) return  // not in sight: in a closed tab, say; its size will tell when it is
    palette = paletteOf(el)
    ask(false)
  }
  function soon(what) {  // within the next frame, each at most once
    if (!due.size) requestAnimationFrame(() => {
      const all = [...due]
      due.clear()
      all.forEach(one => one())
    })
    due.add(what)
  }
  const onChange = () => soon(changed), onLook = () => soon(refresh)
  const sizes = new ResizeObserver(refresh), themes = new MutationObserver(onLook)
  model.on("change", onChange)
  sizes.observe(stage)
  window.addEventListener("resize", onLook)  // another pixel ratio, too
  for (const root of [document.documentElement, document.body]) themes.observe(root, { attributes: true })
  return () => {
    run(false)
    sizes.disconnect()
    themes.disconnect()
    window.removeEventListener("resize", onLook)
    model.off("change", onChange)
  }
}

// A layer on its way from another state of it; where the two do not belong together, as it is.
function mixed(before, layer, share) {
  if (before?.as != layer.as || before.xy.length != layer.xy.length) return layer
  return { ...layer, xy: layer.xy.map((value, i) => before.xy[i] + share * (value - before.xy[i])) }
}

// The data of a panel with everything unpacked but networks, which a worker unpacks for itself.
function decoded(value) {
  if (!value || typeof value != "object" || value.layers) return value
  if (value.bits) return M.unpacked(value)
  if (Array.isArray(value)) return value.map(decoded)
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decoded(inner)]))
}
