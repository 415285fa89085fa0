;; Uses lists of fixed length. Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (type $list (list u8 4)))
