"""What the documents claim that this project grew out of, beside what is measured here.

Five documents: a dissertation on the overlap of supermasks (MASK), a paper on adaptation rate
integrals (ARI), a thesis on networks in three tiers (TIER), the muNet papers (MUNET) and a report
on growth with GradMax (GROW). Each has a module: the experiments that repeat its own, and a section
of the page with its numbers, ours, the difference and the reason.
"""

from growth.claims.base import Ran, find
from growth.claims.page import DOCUMENTS, Page, write_page

__all__ = ["DOCUMENTS", "Page", "Ran", "find", "write_page"]
