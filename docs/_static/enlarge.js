// A notebook's picture opens large when it is pressed: Escape, or a press anywhere, closes it. Without scripts the link
// around a picture leads to its file.
for (const image of document.querySelectorAll(".cell_output img")) {
  const opener = image.closest("a") || image
  if (opener == image) Object.assign(image, { tabIndex: 0, role: "button" })
  opener.classList.add("enlarge")
  const open = event => {
    event.preventDefault()
    const large = document.createElement("dialog"), copy = image.cloneNode()
    large.className = "enlarged"
    large.tabIndex = 0
    large.setAttribute("aria-label", "picture, enlarged")
    for (const name of ["width", "height", "style", "tabindex", "role", "class"]) copy.removeAttribute(name)
    large.append(copy)
    large.onclick = () => large.close()
    large.onkeydown = ({ key }) => key == "Escape" && large.close()  // Sphinx has another use for it, and stops this one
    large.onclose = () => large.remove()
    document.body.append(large)
    large.showModal()
  }
  opener.onclick = open
  if (opener == image) image.onkeydown = event => ["Enter", " "].includes(event.key) && open(event)
}
