for (const panel of document.querySelectorAll("figure.panel")) {
  const image = panel.querySelector("img"), play = panel.querySelector("button")
  const knobs = [...panel.querySelectorAll("input, select")]
  const [r, t] = ["r", "t"].map(name => panel.querySelector(`[name=${name}]`)), pair = r && t  // an interval's handles
  const frames = JSON.parse(panel.querySelector("script").textContent)
  const runs = pair ? r : knobs.findLast(knob => knob.type == "range")  // the knob that play moves
  play.ariaLabel = "play " + runs.name

  function show(moved) {
    if (pair && +r.value > +t.value) (moved == r ? t : r).value = moved.value  // a knob that would pass the other pushes it
    const [alt, data] = frames[knobs.map(knob => knob.value)]
    image.alt = alt
    image.src = "data:image/png;base64," + data
    for (const knob of knobs) if (knob.type == "range")
      knob.nextElementSibling.textContent = knob.ariaValueText = JSON.parse(knob.dataset.labels)[knob.value]
  }

  function advance() {
    runs.value = +runs.value < +(pair ? t.value : runs.max) ? +runs.value + 1 : 0
    show(runs)
  }

  let playing = null
  play.onclick = () => {
    play.textContent = playing ? "play" : "stop"
    play.ariaPressed = !playing
    playing = playing ? clearInterval(playing) : setInterval(advance, 700)
  }
  for (const knob of knobs) knob.oninput = () => show(knob)
  show(runs)
}
