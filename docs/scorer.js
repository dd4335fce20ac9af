// What Sphinx takes for each kind of find; and first the pages whose own title has the words, of two the earlier lesson.
var Scorer = {
  objNameMatch: 11, objPartialMatch: 6, objPrio: { 0: 15, 1: 5, 2: -5 }, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
  score: ([docname, title, , , score]) => {
    const words = new URLSearchParams(location.search).get("q").toLowerCase().split(/\s+/)
    const named = words.every(word => title.toLowerCase().includes(word))
    return score + 10 * named - (parseInt(docname.replace("notebooks/", "")) || 0) / 100
  }
}
