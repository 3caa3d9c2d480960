"""Published results next to measured ones: an article is a folder, and its page compares the two."""

from __future__ import annotations

from assay.articles.folder import Article, article_names, find_article
from assay.articles.narrowing import narrowed
from assay.articles.page import Page
from assay.articles.runner import context_of, page_of, plans_after, plans_of, results_of, spec_of
from assay.articles.spec import ReproductionSpec

__all__ = [
    "Article",
    "Page",
    "ReproductionSpec",
    "article_names",
    "context_of",
    "find_article",
    "narrowed",
    "page_of",
    "plans_after",
    "plans_of",
    "results_of",
    "spec_of",
]
