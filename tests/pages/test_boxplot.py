import pytest

from instglow.evaluation.likelihood import LikelihoodTable
from instglow.pages.boxplot import draw


@pytest.mark.parametrize("priors", [1, 2, 3, 4])
def test_the_legend_fits_into_the_picture(priors):
    bits = {"bass": [1.0], "drums": [0.0], "guitar": [2.0], "piano": [3.0]}
    figure = draw(LikelihoodTable(dict.fromkeys(list(bits)[:priors], bits)))
    figure.canvas.draw()
    (legend,) = figure.legends
    box, whole = legend.get_window_extent(), figure.bbox
    assert len(legend.get_texts()) == 4
    assert 0 <= box.x0 < box.x1 <= whole.x1
    assert 0 <= box.y0 < box.y1 <= whole.y1
