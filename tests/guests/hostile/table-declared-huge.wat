;; Declares a table of 10,000,000 elements. Must not get an instance: out of memory,
;; in `describe`.
;; ends: describe OutOfMemory
(table $huge 10000000 funcref)
