;; Imports something whose name has escape codes. Must be refused, and the codes may not
;; reach a terminal.
;; ends: admission Invalid
(component
  (import "a\1b[31mb\0ac\c2\9bd" (func)))
