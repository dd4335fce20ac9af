// Sliders over pictures that were drawn beforehand. A panel's pictures come when it is about to be seen, as a script:
// a page that was opened from a folder may load nothing else.
const panels = {}  // filled by those scripts: from a panel's name to its pictures

function wire(panel) {
  const { pictures, strips } = panels[panel.dataset.frames]
  const picture = panel.querySelector(".picture"), play = panel.querySelector("button")
  const knobs = [...panel.querySelectorAll("input, select")]
  const [r, t] = ["r", "t"].map(name => panel.querySelector(`[name=${name}]`)), pair = r && t  // an interval's handles
  const runs = pair ? r : knobs.findLast(knob => knob.type == "range")  // the knob that play moves

  function show(moved) {
    if (pair && +r.value > +t.value) (moved == r ? t : r).value = moved.value  // a knob that would pass the other pushes it
    const [alt, chosen] = pictures[knobs.map(knob => knob.value)]
    picture.ariaLabel = alt
    chosen.forEach((number, i) => { picture.children[i].src = strips[number] })
    for (const knob of knobs) if (knob.type == "range")
      knob.nextElementSibling.textContent = knob.ariaValueText = JSON.parse(knob.dataset.labels)[knob.value]
  }

  function advance() {
    runs.value = +runs.value < +(pair ? t.value : runs.max) ? +runs.value + 1 : 0
    show(runs)
  }

  let playing = null
  function run(on) {
    clearInterval(playing)
    playing = on && setInterval(advance, 700)
    play.textContent = on ? "stop" : "play"
    play.ariaLabel = `${play.textContent} ${runs.name}`
  }

  play.onclick = () => run(!playing)
  for (const knob of knobs) knob.oninput = () => { run(false); show(knob) }
  for (const control of [...knobs, play]) control.disabled = control.options?.length == 1  // nothing to choose there
  run(false)
  show(runs)
}

document.addEventListener("DOMContentLoaded", () => {
  const folder = document.documentElement.dataset.content_root + "_static/panels/"
  const near = new IntersectionObserver(entries => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) {
      near.unobserve(target)
      const script = document.createElement("script")
      script.src = `${folder}${target.dataset.frames}.js`
      script.onload = () => wire(target)
      document.head.append(script)
    }
  }, { rootMargin: "800px" })
  for (const panel of document.querySelectorAll("figure.panel")) near.observe(panel)
})
