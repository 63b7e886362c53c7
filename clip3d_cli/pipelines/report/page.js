// A click on a title sorts by its column: numbers largest first, words from A to Z.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  table.querySelectorAll("th").forEach((title, place) => {
    title.title = "Sort";
    title.addEventListener("click", () => {
      const text = (row) => row.cells[place].textContent;
      const number = (row) => parseFloat(text(row).replaceAll(",", ""));
      const order = title.classList.contains("number")
        ? (a, b) => (number(b) || -1) - (number(a) || -1)
        : (a, b) => text(a).localeCompare(text(b));
      body.append(...[...body.rows].sort(order));
    });
  });
}
