// A square to draw in with mouse, pen or finger. It keeps the points of all strokes, in [0, 1]², y upward.
const SIDE = 290, GAP = 0.012  // in pixels; between points of a stroke

function render({ model, el }) {
  const canvas = document.createElement("canvas"), clear = document.createElement("button")
  const pen = canvas.getContext("2d"), sharp = window.devicePixelRatio || 1
  canvas.width = canvas.height = SIDE * sharp
  pen.font = `${14 * sharp}px sans-serif`
  pen.textAlign = "center"
  canvas.style.cssText = `width: ${SIDE}px; border: 1px solid #ccc; cursor: crosshair; touch-action: none; background: white`
  canvas.role = "img"
  canvas.ariaLabel = "Draw here with mouse, pen or finger; or write a text, or choose a file, above"
  clear.textContent = "clear"
  clear.style.display = "block"
  el.append(canvas, clear)

  function redraw() {
    const points = model.get("points")
    pen.clearRect(0, 0, canvas.width, canvas.height)
    pen.fillStyle = points.length ? "#0072B2" : "#999999"
    if (!points.length) pen.fillText("draw here", canvas.width / 2, canvas.height / 2)
    for (const [x, y] of points) {
      pen.beginPath()
      pen.arc(x * canvas.width, (1 - y) * canvas.height, 3 * sharp, 0, 2 * Math.PI)
      pen.fill()
    }
  }

  function put(points) {
    model.set("points", points)
    model.save_changes()
  }

  let last = null  // where the pen is while it is down

  function draw(event) {
    const box = canvas.getBoundingClientRect()
    const here = [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height]
      .map(k => Math.min(1, Math.max(0, k)))  // a stroke that leaves the square goes on along its edge
    const from = last || here, length = Math.hypot(here[0] - from[0], here[1] - from[1])
    if (last && length < GAP) return
    const n = Math.max(1, Math.round(length / GAP))  // a fast stroke has no holes
    const stretch = Array.from({ length: n }, (_, i) => [0, 1].map(k => from[k] + (here[k] - from[k]) * (i + 1) / n))
    put([...model.get("points"), ...stretch])
    last = here
  }

  canvas.onpointerdown = event => { canvas.setPointerCapture(event.pointerId); draw(event) }
  canvas.onpointermove = event => { if (last) draw(event) }
  canvas.onpointerup = canvas.onpointercancel = () => { last = null }
  clear.onclick = () => put([])
  model.on("change:points", redraw)
  redraw()
}

export default { render }
