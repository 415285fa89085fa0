;; Exports nothing. Must be refused.
;; ends: admission MissingExport
(component)
