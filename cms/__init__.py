"""The CMS: content teams manage videos, playlists, rules, feeds, configuration, models, experiments, keys, previews.

Modules:

    RESOURCE/api.py      endpoints, declared at their handlers
    RESOURCE/models.py   request forms, stored documents and response views; pure
    endpoint.py          decorators that declare CMS endpoints
    request.py           an authenticated CMS request: body, If-Match, page, author
    drafted.py           drafts of named documents: save, delete, publish
    documents.py         the shared flow: read → If-Match → check → write with audit → refresh → respond with ETag
    changes.py           writes a change and its audit entry in one atomic batch
    forms.py views.py    strict forms with plain messages; fields shared by responses
    audit.py             lists the history of changes, and reverts a change
    apis.py              builds the endpoint classes from their dependencies
"""
