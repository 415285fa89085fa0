;; Has a memory that threads could share.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (memory 1 2 shared)))
