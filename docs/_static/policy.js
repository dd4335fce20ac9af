// A server may forbid what stands in a page itself (Content-Security-Policy: default-src 'self'). The browser then
// names each style and handler that it left out, also those that MathJax adds. A script may put it back.
document.addEventListener("securitypolicyviolation", ({ target, effectiveDirective }) => {
  if (effectiveDirective == "style-src-attr") target.style.cssText = target.getAttribute("style")
  if (effectiveDirective == "style-src-elem") {
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(target.textContent)
    document.adoptedStyleSheets.push(sheet)
  }
  if (effectiveDirective == "script-src-attr")  // the theme's print() and toggleFullScreen()
    target.onclick = () => window[target.getAttribute("onclick").match(/(\w+)\(\)$/)[1]]()
})

// Light or dark, as the reader chose or else the system has it. The theme asks in the page, where it may be forbidden
// to, and where its default has to be light, for a reader without scripts.
{
  const mode = localStorage.getItem("mode") || "auto", { matches } = matchMedia("(prefers-color-scheme: dark)")
  document.documentElement.dataset.mode = mode
  document.documentElement.dataset.theme = mode != "auto" ? mode : matches ? "dark" : "light"
}
