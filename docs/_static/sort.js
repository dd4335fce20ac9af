// Tables sort by the column whose head is pressed: first upward, then downward. Rows without a number stay last.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table")) {
    table.classList.add("sortable")
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells]
    const value = (row, column) => {
      const text = row.cells[column].textContent.trim()
      return column ? parseFloat(text) : text
    }
    heads.forEach((head, column) => {
      const button = document.createElement("button")
      button.append(...head.childNodes)
      if (!button.textContent.trim()) button.textContent = "method"
      head.append(button)
      button.onclick = () => {
        const down = head.ariaSort == "ascending"
        for (const other of heads) other.ariaSort = null
        head.ariaSort = down ? "descending" : "ascending"
        const rows = [...body.rows].map(row => [value(row, column), row])
        const known = rows.filter(([key]) => !Number.isNaN(key)), unknown = rows.filter(([key]) => Number.isNaN(key))
        known.sort(([a], [b]) => (a > b) - (a < b))
        if (down) known.reverse()
        body.append(...[...known, ...unknown].map(([, row]) => row))
      }
    })
  }
})
