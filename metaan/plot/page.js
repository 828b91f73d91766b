"use strict";
(() => {
  const table = document.querySelector(".forest");
  const status = document.getElementById("status");
  const search = document.getElementById("search");
  const group = document.getElementById("group");
  const form = document.querySelector(".tools");
  const headings = [...table.tHead.querySelectorAll("button[data-sort]")];
  const first = new Map([...table.tBodies].map((body) => [body, [...body.rows]]));
  const studies = [...table.querySelectorAll("tr.study")];
  const isStudy = (row) => row.classList.contains("study");
  const collator = new Intl.Collator(document.documentElement.lang, { numeric: true, sensitivity: "base" });

  // Sorting: studies change places with each other inside their group, every other row stays where it is.
  function compare(one, other, numeric) {
    return numeric ? Number(one) - Number(other) : collator.compare(one, other);
  }

  function sort(place, numeric, direction) {
    for (const [body, rows] of first) {
      const key = (row) => row.cells[place].dataset.key;
      const ordered = rows.filter(isStudy);
      if (place !== null) {
        ordered.sort((one, other) => {
          const [a, b] = [key(one), key(other)];
          if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
          return direction * compare(a, b, numeric);
        });
      }
      body.append(...rows.map((row) => (isStudy(row) ? ordered.shift() : row)));
    }
  }

  function mark(heading, direction) {
    for (const button of headings) button.closest("th").removeAttribute("aria-sort");
    if (heading) heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
  }

  for (const button of headings) {
    button.addEventListener("click", () => {
      const heading = button.closest("th");
      const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      sort(Number(button.dataset.place), button.dataset.sort === "number", direction);
      mark(heading, direction);
      say(`Sorted by ${button.textContent}, ${direction > 0 ? "ascending" : "descending"}.`);
    });
  }

  // Filtering: by part of the label, whatever its case and accents, and by group.
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().trim();
  const label = (row) => plain(row.cells[0].dataset.key);

  function filter() {
    const wanted = plain(search.value);
    const chosen = group ? group.value : "";
    for (const [body, rows] of first) {
      const here = chosen === "" || body.dataset.group === chosen;
      const own = rows.filter(isStudy);
      for (const row of own) row.hidden = !here || !label(row).includes(wanted);
      body.hidden = own.length > 0 && body.dataset.group !== undefined && own.every((row) => row.hidden);
    }
    if (open && open.hidden) close();
    say();
  }

  function say(more = "") {
    const shown = studies.filter((row) => !row.hidden).length;
    const named = studies.length === 1 ? "study" : "studies";
    status.textContent = `${shown} of ${studies.length} ${named} shown. ${more}`.trim();
  }

  search.addEventListener("input", filter);
  group?.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector("button").addEventListener("click", () => {
    form.reset();
    sort(null);
    mark(null);
    filter();
  });

  // Details: shown while the pointer or the focus is on a study, kept by a click, closed by Escape.
  let open = null;
  let kept = false;
  let x = null;

  function place() {
    const box = open.querySelector(".details");
    const row = open.getBoundingClientRect();
    const [width, height] = [box.offsetWidth, box.offsetHeight];
    const [wide, high] = [document.documentElement.clientWidth, document.documentElement.clientHeight];
    const beside = x === null ? open.cells[0].getBoundingClientRect().left + 24 : x + 20;
    const left = beside + width > wide - 8 && x !== null ? x - 20 - width : beside;
    const below = row.bottom + height <= high - 4 || row.top - height < 4;
    box.style.left = `${Math.max(8, Math.min(left, wide - width - 8))}px`;
    box.style.top = `${below ? row.bottom - 1 : row.top - height + 1}px`;
  }

  function show(row, at) {
    if (open === row) return;
    close();
    open = row;
    x = at;
    row.classList.add("open");
    row.querySelector("button").setAttribute("aria-expanded", "true");
    place();
  }

  function close() {
    if (!open) return;
    open.classList.remove("open");
    open.querySelector("button").setAttribute("aria-expanded", "false");
    open = null;
    kept = false;
  }

  function near(row, step) {
    const shown = [...table.querySelectorAll("tr.study")].filter((each) => !each.hidden);
    return shown[shown.indexOf(row) + step];
  }

  for (const row of studies) {
    const button = row.querySelector("button");
    row.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse" && !kept) show(row, event.clientX);
    });
    row.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && open === row && !kept && !row.contains(document.activeElement)) close();
    });
    row.addEventListener("focusin", () => {
      if (button.matches(":focus-visible")) show(row, null);
    });
    row.addEventListener("focusout", (event) => {
      if (open === row && !row.contains(event.relatedTarget)) close();
    });
    button.addEventListener("click", (event) => {
      const byKey = event.detail === 0;
      if (open === row && (kept || byKey)) return close();
      show(row, null);
      kept = true;
    });
    button.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const next = step && near(row, step);
      if (!next) return;
      event.preventDefault();
      next.querySelector("button").focus();
    });
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !open) return;
    if (open.contains(document.activeElement)) open.querySelector("button").focus();
    close();
  });
  document.addEventListener("pointerdown", (event) => {
    if (open && !open.contains(event.target)) close();
  });
  for (const type of ["scroll", "resize"]) {
    addEventListener(type, () => open && place(), { capture: true, passive: true });
  }
  if (search.value || group?.value) filter();
})();
