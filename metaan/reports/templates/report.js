"use strict";
(() => {
  const status = document.getElementById("status");
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // A row sorts by the exact number of its cell, else by its text; cells without a number stand last.
  function key(row, place, numeric) {
    const cell = row.cells[place];
    if (!numeric) return cell.textContent.trim();
    return cell.dataset.key === undefined ? null : Number(cell.dataset.key);
  }

  function sort(table, place, numeric, direction) {
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((one, other) => {
      const [a, b] = [key(one, place, numeric), key(other, place, numeric)];
      if (a === null || b === null) return (a === null) - (b === null);
      return direction * (numeric ? a - b : collator.compare(a, b));
    });
    body.append(...rows);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      const numeric = heading.classList.contains("number");
      button.addEventListener("click", () => {
        const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
        sort(table, place, numeric, direction);
        const name = document.getElementById(table.getAttribute("aria-labelledby")).textContent;
        const way = direction > 0 ? "ascending" : "descending";
        status.textContent = `${name} Sorted by ${button.textContent}, ${way}.`;
      });
    });
  }
})();
