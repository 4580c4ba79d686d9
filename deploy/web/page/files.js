// Files that are chosen or dropped: models by their suffix, all others are recordings.
/* global byId */

export function listenToFiles(openModel, addRecordings) {
  const take = (files) => {
    const models = files.filter((file) => /\.onnx$/i.test(file.name));
    if (models.length) openModel(models.at(-1));
    addRecordings(files.filter((file) => !models.includes(file)));
  };
  for (const id of ["model", "recordings"]) {
    byId(id).disabled = false;
    // Otherwise a file that was chosen before and has been written since would not be another one.
    byId(id).addEventListener("click", () => byId(id).value = "");
    byId(id).addEventListener("change", () => {
      const files = [...byId(id).files];
      if (id === "model" && files.length) openModel(files[0]);
      if (id === "recordings") addRecordings(files);
    });
  }
  const mark = (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", event.type === "dragover");
  };
  for (const type of ["dragover", "dragleave", "drop"]) document.addEventListener(type, mark);
  document.addEventListener("drop", (event) => take([...event.dataTransfer.files]));
}
