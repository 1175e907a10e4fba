// Reads {"tables": {name: "(Column:type, …)"}, "queries": [text, …]} and prints, for each query, what the official Kusto language
// service finds wrong with it: a list of messages.
'use strict'
require('@kusto/language-service-next/bridge.js')
require('@kusto/language-service-next/Kusto.Language.Bridge.js')

const { tables, queries } = JSON.parse(require('fs').readFileSync(0, 'utf8'))
const symbols = Object.entries(tables).map(
  ([name, columns]) => new Kusto.Language.Symbols.TableSymbol.$ctor7(name, columns, null)
)
const database = new Kusto.Language.Symbols.DatabaseSymbol.ctor('db', symbols)
const known = Kusto.Language.GlobalState.Default.WithDatabase(database)
const found = queries.map(query => {
  const diagnostics = Kusto.Language.KustoCode.ParseAndAnalyze(query, known).GetDiagnostics()
  return Array.from({ length: diagnostics.Count }, (_, index) => diagnostics.getItem(index).Message)
})
process.stdout.write(JSON.stringify(found))
