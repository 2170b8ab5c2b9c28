"""What every page has to keep to: texts that can be read, and nothing that the browser complains of."""

from typing import Any

from tests.support.browser import Page

PICTURES = "[...document.querySelectorAll('.screen img')].filter((i) => !i.hidden && i.naturalWidth === 160).length"
"""How many games are to be seen on a live page."""
LEAST_CONTRAST = 4.5
"""WCAG 2.2, level AA."""

CONTRASTS = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const channels = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility({visibilityProperty: true}) || element.closest(".hidden, .skip")) continue;
    const style = getComputedStyle(element);
    const colour = channels(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [luminance(colour), luminance(ground(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    found.push([`${element.tagName} ${element.getAttribute("class")} ${element.textContent}`, contrast]);
  }
  return found;
})()
"""
"""Every element with text of its own, and the contrast of that text to what lies behind it."""


def complaints(page: Page) -> list[Any]:
    """Return what the browser complained of: exceptions, refused loads, broken rules."""
    errors = [event["entry"] for event in page.events("Log.entryAdded") if event["entry"]["level"] == "error"]
    return [*errors, *page.events("Runtime.exceptionThrown"), *page.events("Network.loadingFailed")]
