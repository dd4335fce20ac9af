// The front page's picture. The same noise twice: on the left it follows the exact field, on the right every point makes
// one step of a trained mean flow. The numbers are in hero-data.js, by `make picture`.
document.addEventListener("DOMContentLoaded", () => {
  const hero = document.getElementById("hero"), [left, right] = hero.querySelectorAll("canvas")
  const slider = hero.querySelector("input"), output = hero.querySelector("output"), play = hero.querySelector("button")
  const SECONDS = 6, REST = 1.5  // of one run, and at its end
  const JUMPS = 60  // points whose step is drawn; all would be a thicket
  const [path, field, landing] = [HERO.path, HERO.field, HERO.landing].map(unpacked)
  const size = 2 * HERO.n, side = HERO.arrows, last = HERO.times - 1

  function unpacked(text) {
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0)), view = new DataView(bytes.buffer)
    return Float32Array.from({ length: bytes.length / 2 }, (_, i) => view.getInt16(2 * i, true))
      .map(value => value == -32768 ? NaN : value / 1000)
  }

  // Where point i is when a share of the time has passed.
  function onPath(i, share) {
    const k = Math.min(last - 1, Math.floor(share * last)), rest = share * last - k
    return [0, 1].map(axis => (1 - rest) * path[k * size + 2 * i + axis] + rest * path[(k + 1) * size + 2 * i + axis])
  }

  function onChord(i, share) {
    return [0, 1].map(axis => (1 - share) * path[2 * i + axis] + share * landing[2 * i + axis])
  }

  function arrow(pen, [x, y], [dx, dy]) {
    const length = Math.hypot(dx, dy), head = Math.min(0.1, 0.4 * length), [a, b] = [dx / length * head, dy / length * head]
    pen.beginPath()
    pen.moveTo(x, y)
    pen.lineTo(x + dx, y + dy)
    pen.lineTo(x + dx - a - b / 2, y + dy - b + a / 2)
    pen.moveTo(x + dx, y + dy)
    pen.lineTo(x + dx - a + b / 2, y + dy - b - a / 2)
    pen.stroke()
  }

  function draw(canvas, where, share, method) {
    const pixels = Math.round(canvas.clientWidth * devicePixelRatio)
    if (canvas.width != pixels) canvas.width = canvas.height = pixels
    const pen = canvas.getContext("2d"), unit = pixels / (2 * HERO.limit), style = getComputedStyle(hero)
    pen.setTransform(1, 0, 0, 1, 0, 0)
    pen.clearRect(0, 0, pixels, pixels)
    pen.setTransform(unit, 0, 0, -unit, pixels / 2, pixels / 2)  // from here on in units of the plane
    pen.fillStyle = style.getPropertyValue(method)
    pen.globalAlpha = 0.7
    for (let i = 0; i < HERO.n; i++) {
      const [x, y] = where(i, share)
      pen.beginPath()
      pen.arc(x, y, 0.026, 0, 7)
      pen.fill()
    }
    return pen
  }

  function drawField(pen, share) {
    const k = Math.round(share * last), step = 2 * HERO.limit / side
    for (let i = 0; i < side * side; i++) {
      const [dx, dy] = [0, 1].map(axis => field[2 * (k * side * side + i) + axis] / 6)  // to be not too long
      const place = [i % side, Math.floor(i / side)].map(j => (j + 0.5) * step - HERO.limit)
      if (!isNaN(dx)) arrow(pen, place, [dx, dy])
    }
  }

  function drawJumps(pen) {
    for (let i = 0; i < JUMPS; i++) {
      const here = onChord(i, 0), there = onChord(i, 1)
      arrow(pen, here, [there[0] - here[0], there[1] - here[1]])
    }
  }

  let share = 0  // of the way from noise to data; the slider knows hundredths only

  function show() {
    slider.value = share
    output.textContent = slider.ariaValueText = `t = ${(1 - share).toFixed(2)}`
    const style = getComputedStyle(hero)
    for (const [canvas, where, method] of [[left, onPath, "--field"], [right, onChord, "--step"]]) {
      const pen = draw(canvas, where, share, method)
      pen.strokeStyle = style.getPropertyValue("--ink")
      pen.lineWidth = 0.022
      pen.globalAlpha = 0.8
      if (canvas == left) drawField(pen, share)
      else drawJumps(pen)
    }
  }

  let playing = false, before = null, rest = 0
  function tick(now) {
    if (!playing) return
    const passed = (now - (before ?? now)) / 1000
    before = now
    if (share < 1) share = Math.min(1, share + passed / SECONDS)
    else if ((rest += passed) > REST) share = rest = 0
    show()
    requestAnimationFrame(tick)
  }

  function run(on) {
    if (on && !playing) requestAnimationFrame(tick)
    playing = on
    before = null
    play.textContent = on ? "pause" : "play"
  }

  slider.disabled = play.disabled = false
  play.onclick = () => run(!playing)
  slider.oninput = () => { share = +slider.value; run(false); show() }
  new ResizeObserver(show).observe(hero)
  new MutationObserver(show).observe(document.documentElement, { attributeFilter: ["data-theme"] })
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) share = 0.6
  else run(true)
  let wanted = playing  // when it is in view again
  new IntersectionObserver(([{ isIntersecting }]) => {
    if (isIntersecting) run(wanted)
    else [wanted, playing] = [playing, false]
  }).observe(hero)
})
