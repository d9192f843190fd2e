/* What scrolls by itself can be reached and scrolled with the keyboard, and fades where it goes on; what does not is no
   stop on the way. */
(() => {
  "use strict";
  const parts = ".highlight pre, .cell_output, .cell_output .output > div, .table-wrapper, .formula";
  const fade = (part) => {
    const goesOn = part.hasAttribute("tabindex") && part.scrollLeft + part.clientWidth < part.scrollWidth - 1;
    part.classList.toggle("aloe-goes-on", goesOn);
  };
  const mark = () => {
    document.querySelectorAll(parts).forEach((part) => {
      const scrolls = part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflowX !== "visible";
      if (scrolls && !part.hasAttribute("tabindex")) {
        part.setAttribute("tabindex", "0");
        part.setAttribute("role", "group");
        part.setAttribute("aria-label", "scrolls sideways");
      } else if (!scrolls && part.getAttribute("aria-label") === "scrolls sideways") {
        ["tabindex", "role", "aria-label"].forEach((name) => part.removeAttribute(name));
      }
      fade(part);
    });
  };
  window.addEventListener("load", mark);
  window.addEventListener("resize", mark);
  document.addEventListener("toggle", mark, true);
  document.addEventListener("scroll", (event) => event.target.matches?.(parts) && fade(event.target), true);
})();
