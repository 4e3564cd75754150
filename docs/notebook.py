"""Runs docs/walkthrough.ipynb with Jupyter and stores its outputs.

    pip install nbclient ipykernel
    python docs/notebook.py

It runs in a temporary folder. It stores printed text, values and pictures, but no progress lines,
warnings or times, so that the file does not depend on the machine.
"""

import base64
import io
import json
import pathlib
import tempfile

from PIL import Image

NOTEBOOK = pathlib.Path(__file__).with_name("walkthrough.ipynb")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(cells):
    """Runs code cells in a kernel of their own; returns the outputs of each."""
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(
            notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    return [cell.outputs for cell in notebook.cells]


def kept(output, count):
    """Returns the part of an output to store, or None."""
    kind = output["output_type"]
    if kind == "stream" and output["name"] == "stdout":
        return {"name": "stdout", "output_type": kind, "text": lines(output["text"])}
    if kind not in ("display_data", "execute_result"):
        return None
    data = output["data"]
    if "image/png" in data:
        shown = {"image/png": smaller(data["image/png"])}
    else:
        shown = {"text/plain": lines(data["text/plain"])}
    number = {"execution_count": count} if kind == "execute_result" else {}
    return {"data": shown, **number, "metadata": {}, "output_type": kind}


def joined(outputs):
    """Merges consecutive printed outputs into one."""
    found = []
    for output in outputs:
        if found and output["output_type"] == found[-1]["output_type"] == "stream":
            found[-1]["text"] += output["text"]
        else:
            found.append(output)
    return found


def smaller(data):
    """A png file in base64 with 256 colours: a quarter of the bytes, and no versions."""
    file, picture = io.BytesIO(), Image.open(io.BytesIO(base64.b64decode(data)))
    picture.convert("RGB").quantize(method=Image.Quantize.FASTOCTREE).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def lines(text):
    """Text as the notebook format stores it."""
    return text.splitlines(keepends=True)


def main():
    """Executes the notebook and writes it."""
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    found = execute(["".join(cell["source"]) for cell in code])
    for count, (cell, outputs) in enumerate(zip(code, found, strict=True), 1):
        cell["outputs"] = joined(filter(None, (kept(output, count) for output in outputs)))
        cell["execution_count"], cell["metadata"] = count, {}
    notebook["metadata"] = METADATA
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
