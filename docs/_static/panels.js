// Panels on a page. Their data come when they are about to be seen, each as a script of its own: a page that was opened
// from a folder may load nothing else. Here are the plain inputs and the plain model; canvas.js draws.
const panels = {}, networks = {}  // filled by those scripts, by name

function fetched(folder, name, then) {
  const found = (folder == "panels" ? panels : networks)[name], id = `${folder}/${name}`
  if (found) return found
  const root = document.documentElement.dataset.content_root
  const script = document.getElementById(id) ?? made("script", { id, src: `${root}_static/${id}.js` })
  script.addEventListener("load", () => then(), { once: true })
  if (!script.isConnected) document.head.append(script)
}

// What anywidget calls a model: values by name, and word of every change.
function modelOf(spec) {
  const values = { ...spec.state, spec }, listeners = new Set()
  return { get: key => values[key], save_changes() {}, fetched: (name, then) => fetched("networks", name, then),
           on: (_, then) => listeners.add(then), off: (_, then) => listeners.delete(then),
           set(key, value) { values[key] = value; for (const then of listeners) then(key) } }
}

const made = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children)
  return element
}

// One knob as inputs, which follow the model: a slider, two for an interval, a menu, or keys.
function inputsOf({ key, name, options, low = 0, high = options?.length - 1, step = 1, kind }, model) {
  if (kind == "menu") {
    const menu = made("select", {}, ...options.map((text, value) => made("option", { value, textContent: text })))
    menu.oninput = () => model.set(key, +menu.value)
    return { follow() { menu.value = model.get(key) }, elements: [made("label", {}, `${name} `, menu)] }
  }
  if (kind == "keys") {
    const all = options.map((text, i) => made("button", { type: "button", textContent: text, onclick: () => model.set(key, i) }))
    return { follow() { all.forEach((button, i) => { button.ariaPressed = model.get(key) == i }) },
             elements: [made("div", { className: "keys", role: "group", ariaLabel: name }, ...all)] }
  }
  const handles = kind == "interval" ? ["r", "t"] : [name]
  const sliders = handles.map((label, i) => {
    const input = made("input", { type: "range", min: low, max: high, step }), output = made("output", { ariaHidden: true })
    input.oninput = () => {
      const value = +input.value, pair = model.get(key)
      model.set(key, kind != "interval" ? value : i ? [Math.min(pair[0], value), value] : [value, Math.max(pair[1], value)])
    }
    const follow = () => {
      const value = kind == "interval" ? model.get(key)[i] : model.get(key)
      input.value = value
      output.textContent = input.ariaValueText = options ? options[value] : value.toFixed(2)
    }
    return { follow, element: made("label", {}, `${label} `, input, output) }
  })
  return { follow() { sliders.forEach(slider => slider.follow()) }, elements: sliders.map(slider => slider.element) }
}

function mount(figure) {
  const spec = fetched("panels", figure.dataset.panel, () => mount(figure))
  if (!spec) return
  const model = modelOf(spec), canvas = made("div"), knobs = made("div", { className: "knobs" })
  if ("address" in figure.dataset) keepAddress(model, spec)
  const inputs = spec.knobs.map(knob => inputsOf(knob, model)), follow = () => inputs.forEach(input => input.follow())
  for (const { elements } of inputs) knobs.append(...elements)
  if (spec.scene == "draw") knobs.prepend(...ownInputs(model, canvas))
  follow()
  model.on("change", follow)
  figure.replaceChildren(knobs, canvas)
  MeanFlows.render({ model, el: canvas })
}

// The state in the address, so that a link leads to what is seen. Long lists go as bytes, hundredths of six units.
function keepAddress(model, spec) {
  const long = value => Array.isArray(value) && value.length > 8 || Array.isArray(value?.[0])
  const bytes = value => String.fromCharCode(...value.flat().map(part => Math.round((part + 3) * 42.5)))
  const code = value => long(value) ? "~" + btoa(bytes(value)) : JSON.stringify(value)
  const decode = (text, key) => {
    if (text[0] != "~") return JSON.parse(text)
    const all = Array.from(atob(text.slice(1)), letter => letter.charCodeAt(0) / 42.5 - 3)
    return key == "means" ? Array.from({ length: all.length / 2 }, (_, i) => all.slice(2 * i, 2 * i + 2)) : all
  }
  // What is of the kind and within the range that a state may hold; nothing for all else: an address may be cut off.
  const fits = (value, like) => !Array.isArray(like) ? Number.isFinite(value) : Array.isArray(value)
    && (typeof like[0] != "number" || value.length == like.length) && value.flat().every(Number.isFinite)
  const bounded = (value, { low = -3, high = 3, options } = {}) => options
    ? Math.round(Math.min(options.length - 1, Math.max(0, value)))
    : value.map?.(part => bounded(part, { low, high })) ?? Math.min(high, Math.max(low, value))
  function read() {
    for (const [key, text] of new URLSearchParams(location.hash.slice(1))) try {
      const value = decode(text, key), knob = spec.knobs.find(knob => knob.key == key)
      if (!(key in spec.state) || !fits(value, spec.state[key])) continue
      const inside = key == "seed" ? value : bounded(value, knob)
      model.set(key, key == "rt" ? inside.sort((r, t) => r - t) : inside)
    } catch { /* no number */ }
  }
  let timer = 0
  read()
  window.addEventListener("hashchange", read)
  model.on("change", () => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      const changed = Object.keys(spec.state).filter(key => JSON.stringify(model.get(key)) != JSON.stringify(spec.state[key]))
      history.replaceState(null, "", "#" + new URLSearchParams(changed.map(key => [key, code(model.get(key))])))
    }, 400)
  })
}

// To draw without a pen: a text or a picture, whose ink becomes a few hundred points. Ink is what differs from the rim.
function ownInputs(model, canvas) {
  const write = made("input", { type: "text", maxLength: 12, size: 12, placeholder: "up to 12 letters" })
  const file = made("input", { type: "file", accept: "image/*" })
  const copy = made("button", { type: "button", textContent: "copy link" })
  const note = made("span", { role: "status" })
  const take = (wide, high, paint) => {
    const scale = 64 / Math.max(wide, high)
    const [across, down] = [wide, high].map(side => Math.max(1, Math.round(side * scale)))
    const pen = made("canvas", { width: across, height: down }).getContext("2d", { willReadFrequently: true })
    pen.fillStyle = "white"
    pen.fillRect(0, 0, across, down)
    pen.scale(scale, scale)
    pen.fillStyle = "black"
    paint(pen)
    const { data } = pen.getImageData(0, 0, across, down), all = Array.from({ length: across * down }, (_, i) => i)
    const light = i => data[4 * i] + data[4 * i + 1] + data[4 * i + 2]
    const onRim = i => i < across || i >= across * (down - 1) || i % across % (across - 1) == 0
    const rim = all.filter(onRim).map(light).sort((a, b) => a - b), ground = rim[rim.length >> 1]
    const most = Math.max(...all.map(i => Math.abs(light(i) - ground)))
    const ink = all.filter(i => Math.abs(light(i) - ground) > Math.max(60, most / 2)), every = Math.max(1, ink.length / 400)
    const few = ink.filter((_, i) => i * 7919 % ink.length < ink.length / every)
      .map(i => [i % across, -Math.floor(i / across)])
    note.textContent = few.length < 2 ? "No ink found." : ""
    if (few.length < 2) return
    const [x, y] = [0, 1].map(axis => few.map(point => point[axis])).map(all => [Math.min(...all), Math.max(...all)])
    const unit = 4 / Math.max(x[1] - x[0], y[1] - y[0], 1)
    model.set("ink", [])
    model.set("width", 0.6 * unit * Math.sqrt(every))
    model.set("means", few.map(([a, b]) => [(a - (x[0] + x[1]) / 2) * unit, (b - (y[0] + y[1]) / 2) * unit]))
  }
  write.oninput = () => {
    if (write.value.trim()) take(60 * write.value.length + 20, 110, pen => {
      pen.font = "bold 80px sans-serif"
      pen.textBaseline = "middle"
      pen.fillText(write.value, 10, 57, 60 * write.value.length)
    })
  }
  const picture = blob => createImageBitmap(blob).then(image => take(image.width, image.height, pen => pen.drawImage(image, 0, 0)),
    () => { note.textContent = "This is no picture that can be read here; try PNG or JPEG." })
  file.onchange = () => file.files[0] && picture(file.files[0])
  canvas.ondragover = event => event.preventDefault()
  canvas.ondrop = event => { event.preventDefault(); if (event.dataTransfer.files[0]) picture(event.dataTransfer.files[0]) }
  copy.onclick = () => setTimeout(() => navigator.clipboard.writeText(location.href).then(() => {
    copy.textContent = "copied"
    setTimeout(() => { copy.textContent = "copy link" }, 2000)
  }), 500)
  return [made("label", {}, "write ", write), made("label", {}, "or a picture ", file), copy, note]
}

document.addEventListener("DOMContentLoaded", () => {
  const near = new IntersectionObserver(entries => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) {
      near.unobserve(target)
      mount(target)
    }
  }, { rootMargin: "600px" })
  for (const figure of document.querySelectorAll("figure[data-panel]")) near.observe(figure)
  if (location.hash.includes("=")) document.querySelector("figure[data-address]:not(.hero)")?.scrollIntoView({ block: "center" })
})
