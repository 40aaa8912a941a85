"""A map in one file, opened from disk in a browser."""

from contextlib import contextmanager

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@contextmanager
def opened(browser, file, size="desktop", scheme="light", **options):
    """The file in a browser that is offline; at the end nothing may have been asked for, and nothing gone wrong."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        offline=True,
        has_touch=size == "phone",
        **options,
    )
    page, wrong, asked = context.new_page(), [], []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("[data-state=ready]", timeout=20_000)
    yield page
    context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [file.as_uri()]


def at(page):
    return [float(x) for x in page.locator(".lv").get_attribute("data-at").split(",")]
